"""Medians, paired ratios and the bar of benchmarks/endpoint.py, from its samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Cell

ECHO = "echo"
SERVE_MODES = ("serve-haproxy", "serve-default")
STATMUX = "statmux"
_HEADER = f"{'peer':<14} {'in flight':>9} {'requests/s':>11} {'range':>15} {'p50 ms':>9} {'p99 ms':>9}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One cell of one round. cpu_s: of all the peer's processes, a request; other work takes less of that."""

    round_index: int
    peer: str
    cell: Cell
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio of statmux to `other` and its bound: at least for rates, below for latencies."""

    measure: str
    num_in_flight: int
    other: tuple[str, ...]
    bound: float

    @property
    def is_rate(self) -> bool:
        return self.measure == "rate_rps"

    @property
    def title(self) -> str:
        other = self.other[0] if len(self.other) == 1 else "the better Serve mode"
        return f"statmux / {other}, {self.measure} at {self.num_in_flight} in flight"


BARS = (
    Bar("rate_rps", 16, SERVE_MODES, 1.5),
    Bar("p50_s", 1, SERVE_MODES, 1.0),
    Bar("p99_s", 1, SERVE_MODES, 1.0),
    Bar("rate_rps", 16, (ECHO,), 0.6),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ratios` by round, each of two cells that ran within seconds of each other."""

    bar: Bar
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.bar.bound if self.bar.is_rate else self.ratio < self.bar.bound


def medians(samples: Sequence[Sample]) -> list[Sample]:
    """One sample per peer and number in flight, each measure its median over rounds; as first seen."""
    keys = dict.fromkeys((one.peer, one.cell.num_in_flight) for one in samples)
    return [Sample(-1, peer, _median_cell(_cells(samples, peer, number))) for peer, number in keys]


def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
    """One per bar whose cells were all measured. The better Serve mode is chosen anew in each round."""
    cells = {(one.peer, one.cell.num_in_flight) for one in samples}
    return [
        Verdict(bar, paired_ratios(samples, bar))
        for bar in BARS
        if all((peer, bar.num_in_flight) in cells for peer in (STATMUX, *bar.other))
    ]


def paired_ratios(samples: Iterable[Sample], bar: Bar, *, of: str = STATMUX) -> tuple[float, ...]:
    """A peer against the best of `bar.other`, within each round."""
    by_round: dict[int, dict[str, float]] = {}
    for one in samples:
        if one.cell.num_in_flight == bar.num_in_flight:
            by_round.setdefault(one.round_index, {})[one.peer] = getattr(one.cell, bar.measure)
    best = max if bar.is_rate else min
    return tuple(values[of] / best(values[other] for other in bar.other) for values in by_round.values())


def table(samples: Sequence[Sample]) -> str:
    """Medians as text; `range` is the slowest and the fastest round."""
    return "\n".join([_HEADER, *(_line(one, samples) for one in medians(samples))])


def verdict_line(verdict: Verdict) -> str:
    """One claim with its ratios by round and whether the median meets the bound."""
    sign = ">=" if verdict.bar.is_rate else "<"
    rounds = " ".join(f"{ratio:.2f}" for ratio in verdict.ratios)
    outcome = "met" if verdict.is_met else "NOT met"
    bar = f"bar {sign} {verdict.bar.bound}, {outcome}; rounds {rounds}"
    return f"{verdict.bar.title}: {verdict.ratio:.2f} ({bar})"


def _cells(samples: Iterable[Sample], peer: str, num_in_flight: int) -> list[Cell]:
    return [one.cell for one in samples if one.peer == peer and one.cell.num_in_flight == num_in_flight]


def _median_cell(cells: Sequence[Cell]) -> Cell:
    return Cell(
        cells[0].num_in_flight,
        round(median(cell.num_replies for cell in cells)),
        median(cell.rate_rps for cell in cells),
        median(cell.p50_s for cell in cells),
        median(cell.p99_s for cell in cells),
    )


def _line(one: Sample, samples: Sequence[Sample]) -> str:
    cell = one.cell
    rates = [each.rate_rps for each in _cells(samples, one.peer, cell.num_in_flight)]
    spread = f"{min(rates):.0f}-{max(rates):.0f}"
    return (
        f"{one.peer:<14} {cell.num_in_flight:>9} {cell.rate_rps:>11.0f} {spread:>15} "
        f"{cell.p50_s * 1e3:>9.3f} {cell.p99_s * 1e3:>9.3f}"
    )
