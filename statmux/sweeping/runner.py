"""Evaluates the points that are not known yet, here or on several processes, and keeps each as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from types import TracebackType
from typing import Self, final

from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.results import Result
from statmux.progress import Progress
from statmux.sweeping.pool import AbstractPool
from statmux.sweeping.store import Store
from vocabulary.errors import RuntimeFailure

# Processes take about two seconds to start, all of them together: for less work than this they do not pay.
WORTH_PROCESSES_S = 4.0


@final
class Runner:
    """Use as a context manager. `open_pool` is called when there is enough work; None: never."""

    def __init__(
        self,
        study: Study,
        *,
        store: Store,
        open_pool: Callable[[], AbstractPool] | None,
        is_eager: bool = False,
    ) -> None:
        self._study = study
        self._store = store
        self._open_pool = open_pool
        self._is_eager = is_eager
        self._pool: AbstractPool | None = None
        self._known: dict[Probe, Result] = {}
        self._seconds = 0.0
        self.num_resumed = 0
        self.num_computed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()

    def results(self, probes: Sequence[Probe], progress: Progress) -> tuple[Result, ...]:
        """In the order of `probes`; each is evaluated once, however often it is asked for.

        Raises RuntimeFailure when a process dies, and what `evaluate` raises.
        """
        missing = [probe for probe in dict.fromkeys(probes) if not self._is_known(probe)]
        num_known = len(set(probes)) - len(missing)
        start_s = time.perf_counter()
        progress.step(num_known)
        for number, (probe, result) in enumerate(self._evaluated(missing), start=1):
            self._known[probe] = result
            self._store.save(probe, result)
            self.num_computed += 1
            self._seconds += result.seconds
            left_s = (time.perf_counter() - start_s) / number * (len(missing) - number)
            progress.step(num_known + number, note=f"about {_spoken(left_s)} left")
        return tuple(self._known[probe] for probe in probes)

    def _is_known(self, probe: Probe) -> bool:
        if probe in self._known:
            return True
        kept = self._store.load(probe)
        if kept is None:
            return False
        self._known[probe] = kept
        self.num_resumed += 1
        return True

    def _evaluated(self, missing: Sequence[Probe]) -> Iterator[tuple[Probe, Result]]:
        """Here as long as the rest is little work, else by the pool."""
        left = list(missing)
        while left and not self._wants_pool(len(left)):
            probe = left.pop(0)
            yield probe, evaluate(self._study, probe)
        if left:
            yield from self._pooled(left)

    def _wants_pool(self, num_left: int) -> bool:
        """Judged by what points have taken so far; the first is always evaluated here, to know."""
        if self._open_pool is None:
            return False
        if self._is_eager or self._pool is not None:
            return True
        point_s = self._seconds / max(1, self.num_computed)
        return num_left > 1 and point_s * num_left > WORTH_PROCESSES_S

    def _pooled(self, probes: Sequence[Probe]) -> Iterator[tuple[Probe, Result]]:
        if self._pool is None:
            assert self._open_pool is not None
            self._pool = self._open_pool()
        waiting = {self._pool.submit(probe): probe for probe in probes}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: probes.index(waiting[one])):
                try:
                    result = future.result()
                except BrokenExecutor as error:
                    raise RuntimeFailure(
                        "a process of the sweep died; was it out of memory?",
                        hint="what was found is kept: run it again, with --processes 1 if memory is short",
                    ) from error
                yield waiting.pop(future), result


def _spoken(seconds: float) -> str:
    """12 s, 3 min, 1.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
