"""How fast generation is simulated: one replica, real lengths, Poisson arrivals, continuous batching.

    python -m benchmarks.generation_simulator --data "$DATA" --out generation_simulator.json

Every round takes one sample of everything, so that what else the machine does falls on all alike; figures are
medians. `by CPU` is the same by processor time: on a machine that others use, it comes near what the clock
says on an idle one. A sample is everything from columns to columns; tokens are those of answers, not of
prompts. Every compiled result is also compared: the closed form with a kernel that adds up every step, and
both, on the first requests, with the machine that serves. Without --data lengths are drawn (log-normal).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.generation_traces import Asked, conversations, documents
from simulator.generation.fast import Generated, generate, is_plain
from simulator.generation.reference import generate as generate_by_machine
from vocabulary.generation import GenerationLimits, Prefix, StepTimes

MILLION = 1_000_000
# About Llama 2 7B on one A100: weights read in 8 ms, 25 thousand prompt tokens a second, half a megabyte of
# keys and values a token. No measurement: a load that a replica would see.
TIMES = StepTimes(0.008, 4e-5, 2.5e-7)
PLAIN = GenerationLimits(num_pages=12_000, reserves_output=True)
GROWING = replace(PLAIN, reserves_output=False)
REQUEST_BAR, TOKEN_BAR, DIFFERENCE_BAR_S = 5 * MILLION, MILLION, 1e-6
# Requests a second and core of Vidur, two replicas, measured on a machine like this one.
VIDUR_RATE = 370.0
NUM_BY_MACHINE = 2000


@dataclass
class Case:
    """One line of the table; its samples are (by the clock, by processor time) of what `unit` says."""

    name: str
    asked: Asked
    limits: GenerationLimits
    unit: str = "requests/s"
    bar: float | None = None
    difference_s: float = 0.0
    samples: list[tuple[float, float]] = field(default_factory=list)

    def run(self) -> Generated:
        return generate(self.asked.arrival_s, self.asked.tokens, times=TIMES, limits=self.limits)

    def sample(self) -> None:
        wall_s, cpu_s = perf_counter(), process_time()
        found = self.run()
        wall_s, cpu_s = perf_counter() - wall_s, process_time() - cpu_s
        num = len(found.fate)
        if self.unit == "tokens/s":
            num = int(np.maximum(self.asked.tokens.output_tokens[found.served], 1).sum())
        self.samples.append((num / wall_s, num / cpu_s))

    @property
    def by_clock(self) -> float:
        return median(wall for wall, _ in self.samples)

    @property
    def by_cpu(self) -> float:
        return median(cpu for _, cpu in self.samples)


def cases(data: Path | None, num_requests: int) -> list[Case]:
    found = []
    for rate_rps in (2.0, 4.0, 6.0):
        asked = conversations(data, num_requests, rate_rps)
        name = f"closed form, {rate_rps:g} requests/s"
        found.append(Case(name, asked, PLAIN, bar=REQUEST_BAR))
    crowded = conversations(data, num_requests // 5, 6.0)
    shared = documents(data, num_requests // 10, 0.2)
    tokens = {"unit": "tokens/s", "bar": TOKEN_BAR}
    prefixes = replace(GROWING, num_pages=16_000, has_prefix_cache=True)
    return [
        *found,
        Case("chunked prompts", crowded, GROWING, **tokens),
        Case("chunked prompts, preemption", crowded, replace(GROWING, num_pages=4_500), **tokens),
        Case("chunked prompts, preemption, prefixes", shared, prefixes, **tokens),
    ]


def compare(case: Case) -> Generated:
    """The largest difference in any first token or finish, to steps added up and to the machine."""
    found, asked = case.run(), case.asked
    pairs = []
    if is_plain(case.limits):
        # With more sequences than tokens in a step the other kernel answers; here as many never run.
        assert found.counts.peak_sequences < case.limits.max_sequences
        other = replace(case.limits, max_sequences=case.limits.max_batched_tokens + 1)
        pairs.append((found, generate(asked.arrival_s, asked.tokens, times=TIMES, limits=other)))
    first = asked.head(NUM_BY_MACHINE)
    few = generate(first.arrival_s, first.tokens, times=TIMES, limits=case.limits)
    machine = generate_by_machine(
        first.arrival_s.tolist(),
        first.tokens.input_tokens,
        first.tokens.output_tokens,
        limits=case.limits,
        times=TIMES,
        prefixes=_prefixes(first),
    )
    assert few.counts.num_preempted == machine.statistics.num_preempted
    assert few.counts.num_hit == machine.statistics.num_hit
    pairs.append((few, machine))
    case.difference_s = max(
        float(np.max(np.abs(one - other)[~np.isnan(one)], initial=0.0))
        for left, right in pairs
        for one, other in ((left.finish_s, right.finish_s), (left.first_token_s, right.first_token_s))
    )
    return found


def _prefixes(asked: Asked) -> list[Prefix | None]:
    tokens = asked.tokens
    if tokens.prefix_offsets is None or tokens.prefix_hashes is None:
        return [None] * len(asked.arrival_s)
    parts = np.split(tokens.prefix_hashes, tokens.prefix_offsets[1:-1])
    return [Prefix(tuple(part.tolist()), tokens.block_tokens) for part in parts]


def table(found: Sequence[Case], results: Sequence[Generated]) -> str:
    """What a person reads, as Markdown."""
    lines = [
        "| what | requests | median | range | by CPU | bar | | largest difference | preempted | hit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, result in zip(found, results, strict=True):
        rates = [wall for wall, _ in case.samples]
        counts, num_prompt = result.counts, int(case.asked.tokens.input_tokens.sum())
        cells = (
            case.name,
            f"{len(result.fate):,}",
            f"{_figure(case.by_clock)} {case.unit}",
            f"{_figure(min(rates))} to {_figure(max(rates))}",
            _figure(case.by_cpu),
            f"at least {_figure(case.bar)}" if case.bar else "",
            _verdict(case),
            f"{case.difference_s:.1e} s",
            f"{counts.num_preempted:,}",
            f"{counts.num_hit / num_prompt:.0%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    worst_s = max(case.difference_s for case in found)
    verdict = f"bar {DIFFERENCE_BAR_S:g} s, {'met' if worst_s <= DIFFERENCE_BAR_S else 'missed'}"
    lines += [
        "",
        f"Largest difference in any finish or first token: {worst_s:.1e} s ({verdict}).",
        f"Vidur simulates {VIDUR_RATE:g} requests/s on one core of a like machine.",
    ]
    return "\n".join(lines)


def _verdict(case: Case) -> str:
    if case.bar is None or case.by_clock >= case.bar:
        return "met" if case.bar else ""
    return "missed by the clock, met by CPU" if case.by_cpu >= case.bar else "missed"


def _figure(value: float) -> str:
    return f"{value / MILLION:,.2f} M" if value >= MILLION else f"{value:,.0f}"


def document(found: Sequence[Case]) -> dict[str, Any]:
    return {
        case.name: {"unit": case.unit, "samples": case.samples, "difference_s": case.difference_s}
        for case in found
    }


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, help="folder with traces/")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--requests", type=int, default=MILLION)
    options.add_argument("--out", type=Path, help="JSON of all samples")
    chosen = options.parse_args()
    found = cases(chosen.data, chosen.requests)
    results = []
    for case in found:
        print(f"comparing: {case.name}", file=sys.stderr)
        results.append(compare(case))
    for round_index in range(chosen.rounds):
        for case in found:
            case.sample()
            print(f"round {round_index + 1}: {case.name}: {_figure(case.samples[-1][0])}", file=sys.stderr)
    print(table(found, results))
    if chosen.out:
        chosen.out.write_text(json.dumps(document(found), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
