"""What to try next, and when to stop: the cheapest cluster that holds, the fastest traffic that is held.

Pure machines: they are told what held and say what to try; whoever runs them does the trying. Attainment is
only nearly monotone in devices (a search is a heuristic), so an answer is confirmed on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

# Tried together, whatever the number of processors: the evidence is the same on every machine.
WIDTH = 2
# The next cheaper sizes that are really tried before an answer stands.
NUM_CHEAPER = 2


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A cluster by its price (devices, or cost an hour) and the devices of each node class."""

    price: float
    devices: tuple[int, ...]

    def is_within(self, other: Size) -> bool:
        """Whether `other` has at least as many of everything."""
        return all(mine <= theirs for mine, theirs in zip(self.devices, other.devices, strict=True))


@final
class Cheapest:
    """Looks for the cheapest size that holds: doubling from `start`, then bisection, then its neighbours.

    A size that holds rules out all dearer ones, one that fails rules out all that it contains. With one node
    class that is plain bisection. Repeat: try all of `decide()`, tell each with `observe`; until it is empty.
    """

    def __init__(self, sizes: Sequence[Size], *, start_price: float) -> None:
        self._sizes = tuple(sorted(sizes))
        self._start_price = start_price
        self._tried: dict[Size, bool] = {}

    def observe(self, size: Size, *, holds: bool) -> None:
        self._tried[size] = holds

    @property
    def best(self) -> Size | None:
        """The cheapest that was seen to hold."""
        return min((size for size, holds in self._tried.items() if holds), default=None)

    @property
    def is_monotone(self) -> bool:
        """Whether no size failed that contains one that held."""
        held = [size for size, holds in self._tried.items() if holds]
        failed = [size for size, holds in self._tried.items() if not holds]
        return not any(small.is_within(large) for small in held for large in failed)

    @property
    def is_confirming(self) -> bool:
        """Whether what `decide` asks for now confirms an answer that stands."""
        return self.best is not None and not self._open()

    def decide(self) -> tuple[Size, ...]:
        """Sizes to try now, none of them tried before; empty when `best` is the answer."""
        best, open_ = self.best, self._open()
        if best is None:
            return self._doubling(open_)
        return _spread(open_) if open_ else self._neighbours(best)

    def _open(self) -> list[Size]:
        """What may still be the answer, ascending."""
        best = self.best
        failed = [size for size, holds in self._tried.items() if not holds]
        return [
            size
            for size in self._sizes
            if (best is None or size < best)
            and size not in self._tried
            and not any(size.is_within(other) for other in failed)
        ]

    def _doubling(self, open_: list[Size]) -> tuple[Size, ...]:
        if not open_:
            return ()
        if not self._tried:
            # The size one has, or the nearest that may be.
            return (min(open_, key=lambda size: (abs(size.price - self._start_price), size)),)
        limit = 2 * max(self._tried).price
        near = [size for size in open_ if size.price <= limit] or [open_[0]]
        return tuple(dict.fromkeys((near[len(near) // 2 - 1] if len(near) > 1 else near[0], near[-1])))

    def _neighbours(self, best: Size) -> tuple[Size, ...]:
        position = self._sizes.index(best)
        around = self._sizes[max(0, position - NUM_CHEAPER) : position + 2]
        return tuple(size for size in around if size not in self._tried)


@final
class Furthest:
    """Looks for the largest scale up to which a plan holds, by doubling or halving from 1, then bisection.

    The answer lies within `ratio` of one that fails, and is below every scale that was seen to fail.
    """

    def __init__(self, *, ratio: float = 1.02, limit: float = 64.0) -> None:
        self._ratio = ratio
        self._limit = limit
        self._tried: dict[float, bool] = {}

    def observe(self, scale: float, *, holds: bool) -> None:
        self._tried[scale] = holds

    @property
    def best(self) -> float | None:
        """The largest scale that held below all that failed."""
        lowest = self._lowest_failure
        return max((s for s, holds in self._tried.items() if holds and s < lowest), default=None)

    @property
    def is_at_least(self) -> bool:
        """Whether even the limit held."""
        return self.best is not None and self.best >= self._limit

    def decide(self) -> tuple[float, ...]:
        """Scales to try now; empty when `best` is the answer (None: not even 1 / limit holds)."""
        if not self._tried:
            return (1.0,)
        low, high = self.best, self._lowest_failure
        if low is None:
            return (high / 2,) if high > 1 / self._limit else ()
        if math.isinf(high):
            return (low * 2,) if low < self._limit else ()
        if high / low <= self._ratio:
            return ()
        thirds = ((high / low) ** (part / (WIDTH + 1)) for part in range(1, WIDTH + 1))
        inner = dict.fromkeys(float(f"{low * third:.4g}") for third in thirds)
        return tuple(scale for scale in inner if low < scale < high)

    @property
    def _lowest_failure(self) -> float:
        return min((s for s, holds in self._tried.items() if not holds), default=math.inf)


def _spread(sizes: Sequence[Size]) -> tuple[Size, ...]:
    """WIDTH sizes that cut the rest into about equal parts."""
    cuts = [len(sizes) * part // (WIDTH + 1) for part in range(1, WIDTH + 1)]
    return tuple(dict.fromkeys(sizes[cut] for cut in cuts))
