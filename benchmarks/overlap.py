"""How much communication each pipeline schedule hides: measured on an emulated pipeline, and simulated.

Four processes, one a stage, sleep for their forwards and backwards and really send each other activations and
gradients over TCP, through a port that is emulated to be slow. Medians of interleaved rounds, beside what
`resharding.schedule_times` predicts and the ideal step, in which nothing needs time to travel.

    python -m benchmarks.overlap [--ratios 0.25,0.5,1] [--rounds 3] [--out rows.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resharding.schedule_times import StageTimes, makespan_s
from resharding.schedules import SCHEDULES, Rows, peak_in_flight, with_delayed_weights
from workers.emulated_pipeline import EmulatedPipeline

NUM_STAGES = 4
NUM_MICRO_BATCHES = 16
NIC_BYTES_PER_S = 20e6
# Of a backward by a forward, as the paper has it.
BACKWARD_FORWARDS = 2.0
# Eager-1F1B at least so many times faster than 1F1B that waits, where a transfer is half a forward.
BAR, BAR_RATIO = 1.15, 0.5


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    schedule: str
    overlaps: bool = True
    is_delayed: bool = False

    def rows(self) -> Rows:
        rows = SCHEDULES[self.schedule](NUM_STAGES, NUM_MICRO_BATCHES)
        return with_delayed_weights(rows) if self.is_delayed else rows

    def ideal_s(self, times: StageTimes) -> float:
        """Of a step in which nothing needs time to travel, and backwards are whole."""
        backward_s = 0.0 if self.schedule == "inference" else times.backward_s
        return (NUM_MICRO_BATCHES + NUM_STAGES - 1) * (times.forward_s + backward_s)


WAITING = Way("1F1B, no overlap", "1f1b", overlaps=False)
EAGER = Way("eager-1F1B", "eager_1f1b")
WAYS = (
    WAITING,
    Way("1F1B", "1f1b"),
    Way("GPipe", "gpipe"),
    EAGER,
    Way("1F1B, delayed weights", "1f1b", is_delayed=True),
    Way("GPipe, delayed weights", "gpipe", is_delayed=True),
    Way("eager-1F1B, delayed weights", "eager_1f1b", is_delayed=True),
    Way("inference, no overlap", "inference", overlaps=False),
    Way("inference", "inference"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """transfer_by_forward: of a transfer's time; seconds of a step: measured ones are medians."""

    way: str
    transfer_by_forward: float
    measured_s: float
    simulated_s: float
    ideal_s: float
    rounds_s: tuple[float, ...]
    peak_in_flight: tuple[int, ...]
    is_emulated: bool = True


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--ratios", default="0.25,0.5,1", help="transfer by forward")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--forward-ms", type=float, default=30.0, help="what a stage's profile says")
    options.add_argument("--out", type=Path, help="a file for all numbers (JSON)")
    chosen = options.parse_args(arguments)
    ratios = [float(word) for word in chosen.ratios.split(",")]
    rows = measure(ratios, num_rounds=chosen.rounds, forward_s=chosen.forward_ms / 1e3)
    print(table(rows))
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0 if is_met(rows) else 1


def measure(ratios: Sequence[float], *, num_rounds: int, forward_s: float) -> list[Row]:
    """All ways at all ratios, one after the other, again and again."""
    cases = [(way, ratio, _times(way, ratio, forward_s)) for ratio in ratios for way in WAYS]
    found: dict[tuple[Way, float], list[float]] = {(way, ratio): [] for way, ratio, _ in cases}
    with EmulatedPipeline(NUM_STAGES, nic_bytes_per_s=NIC_BYTES_PER_S) as pipeline:
        # The first step dials.
        pipeline.run(WAITING.rows(), StageTimes(1e-3, 2e-3, 1e-3))
        for _ in range(num_rounds):
            for way, ratio, times in cases:
                found[way, ratio].append(pipeline.run(way.rows(), times).makespan_s)
    return [_row(way, ratio, times, found[way, ratio]) for way, ratio, times in cases]


def _times(way: Way, ratio: float, forward_s: float) -> StageTimes:
    return StageTimes(forward_s, BACKWARD_FORWARDS * forward_s, ratio * forward_s, overlaps=way.overlaps)


def _row(way: Way, ratio: float, times: StageTimes, rounds_s: Sequence[float]) -> Row:
    return Row(
        way.name,
        ratio,
        statistics.median(rounds_s),
        makespan_s(way.rows(), times),
        way.ideal_s(times),
        tuple(rounds_s),
        peak_in_flight(way.rows()),
    )


def table(rows: Sequence[Row]) -> str:
    ratios = list(dict.fromkeys(row.transfer_by_forward for row in rows))
    heads = " | ".join(f"at {ratio:g}: measured | simulated" for ratio in ratios)
    lines = [
        f"Emulated: {NUM_STAGES} stages, {NUM_MICRO_BATCHES} micro-batches, a backward of "
        f"{BACKWARD_FORWARDS:g} forwards. A step's time by its ideal, {rows[0].ideal_s:.2f} s in training, "
        "where a transfer takes so much of a forward:",
        "",
        f"| schedule | {heads} | in flight |",
        "|---" * (2 * len(ratios) + 2) + "|",
    ]
    for way in dict.fromkeys(row.way for row in rows):
        of_way = [row for row in rows if row.way == way]
        cells = " | ".join(
            f"{row.measured_s / row.ideal_s:.3f} | {row.simulated_s / row.ideal_s:.3f}" for row in of_way
        )
        lines.append(f"| {way} | {cells} | {', '.join(map(str, of_way[0].peak_in_flight))} |")
    return "\n".join([*lines, "", *_verdicts(rows)])


def _verdicts(rows: Sequence[Row]) -> list[str]:
    found = []
    for waiting, eager in _pairs(rows):
        measured = waiting.measured_s / eager.measured_s
        simulated = waiting.simulated_s / eager.simulated_s
        verdict = ""
        if eager.transfer_by_forward == BAR_RATIO:
            verdict = f" (bar {BAR}: {'met' if measured >= BAR else 'MISSED'})"
        found.append(
            f"Transfer {eager.transfer_by_forward:g} of a forward: eager-1F1B is {measured:.3f} times as "
            f"fast as 1F1B without overlap, {simulated:.3f} simulated{verdict}."
        )
    return found


def is_met(rows: Sequence[Row]) -> bool:
    return all(
        waiting.measured_s >= BAR * eager.measured_s
        for waiting, eager in _pairs(rows)
        if eager.transfer_by_forward == BAR_RATIO
    )


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    by_name = {(row.way, row.transfer_by_forward): row for row in rows}
    ratios = dict.fromkeys(row.transfer_by_forward for row in rows)
    return [(by_name[WAITING.name, ratio], by_name[EAGER.name, ratio]) for ratio in ratios]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
