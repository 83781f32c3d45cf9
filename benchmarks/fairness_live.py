"""What fair queueing costs on the live engine, and what it changes: two tenants, one flood, a real JAX model.

    python -m benchmarks.fairness_live --rounds 41 --out fairness_live.json

Two fleets of one group stand side by side in this process, equal but for the queue: `fcfs` and `vtc`. In
every round each serves the same requests twice, all sent at once, first those of one tenant, then those of
the other; one fleet goes first and last, the other twice between, in the next round the other way round. So
what else the machine does falls on both alike, and ratios are of pairs, by the clock and by processor time
(less moved by a busy machine). `gap` is the most that the tenants' service differed while both waited, in
weighted tokens (1 for one of a prompt, 2 for one of an answer).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import harmonic_mean, median
from time import perf_counter, process_time

import numpy as np

from benchmarks.generating_fleet import MODEL, GeneratingFleet, open_fleet
from controller.token_streams import GenerateCall
from vocabulary.sampling import Sampling

LENGTH, NUM_SEQUENCES, PAGE_TOKENS = 64, 8, 16
NUM_PAGES = NUM_SEQUENCES * 2 * LENGTH // PAGE_TOKENS
TENANTS = ("flood", "modest")
MODEL_YAML = (
    f"source: 'random://llama-tiny?seed=1', max_model_len: {2 * LENGTH}, "
    f"batching: {{max_batch_size: {NUM_SEQUENCES}, max_batch_tokens: 128}}, "
    f"kv_cache: {{num_pages: {NUM_PAGES}, block_size: {PAGE_TOKENS}, "
    "prefix_caching: false, reserve_output: true}"
)


@dataclass(frozen=True, slots=True)
class Served:
    """One round of one fleet. Rates are of answers' tokens; gap: weighted tokens."""

    tokens_per_s: float
    tokens_per_cpu_s: float
    gap: float


async def serve(fleet: GeneratingFleet, num_each: int, seed: int) -> Served:
    """All requests of the one tenant, then all of the other, sent at once."""
    random = np.random.default_rng(seed)
    service = dict.fromkeys(TENANTS, 0)
    gaps: list[int] = []
    left = dict.fromkeys(TENANTS, num_each)

    async def read(tenant: str, prompt_ids: tuple[int, ...]) -> None:
        call = GenerateCall(
            "r", MODEL, prompt_ids, LENGTH, sampling=Sampling(ignores_eos=True), tenant=tenant
        )
        has_begun = False
        async for news in fleet.front.generate(call):
            if isinstance(news, tuple):
                service[tenant] += 2 * len(news) + (0 if has_begun else len(prompt_ids))
                left[tenant] -= not has_begun
                has_begun = True
                if all(left.values()):
                    gaps.append(abs(service[TENANTS[0]] - service[TENANTS[1]]))

    begin_s, begin_cpu_s = perf_counter(), process_time()
    await asyncio.gather(*(
        read(tenant, tuple(random.integers(0, 1000, size=LENGTH).tolist()))
        for tenant in TENANTS
        for _ in range(num_each)
    ))  # fmt: skip
    num_tokens = 2 * num_each * LENGTH
    return Served(
        num_tokens / (perf_counter() - begin_s),
        num_tokens / (process_time() - begin_cpu_s),
        float(max(gaps, default=0)),
    )


async def measured(folder: Path, *, num_rounds: int, num_each: int) -> dict[str, list[Served]]:
    fleets = {
        queue: open_fleet(folder, MODEL_YAML, overrides=[f"serving.policy.queue={queue}"])
        for queue in ("fcfs", "vtc")
    }
    found: dict[str, list[Served]] = {queue: [] for queue in fleets}
    for queue, fleet in fleets.items():  # not counted
        await serve(fleet, 4, 0)
        print(f"{queue}: ready", file=sys.stderr)
    for number in range(num_rounds):
        outer, inner = sorted(fleets, reverse=bool(number % 2))
        halves = [
            (queue, await serve(fleets[queue], num_each, number)) for queue in (outer, inner, inner, outer)
        ]
        for queue in fleets:
            found[queue].append(_together([half for name, half in halves if name == queue]))
        print(f"round {number + 1}: {found['fcfs'][-1]} {found['vtc'][-1]}", file=sys.stderr)
    for fleet in fleets.values():
        fleet.close()
    return found


def _together(halves: Sequence[Served]) -> Served:
    """Of equal work."""
    return Served(
        harmonic_mean([half.tokens_per_s for half in halves]),
        harmonic_mean([half.tokens_per_cpu_s for half in halves]),
        max(half.gap for half in halves),
    )


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Of the median, by order statistics: no distribution is assumed. All of the range when there are few."""
    ordered, num = sorted(values), len(values)
    outside, rank = 0.0, 0
    while rank < num // 2 and outside + 2 * comb(num, rank) / 2**num <= 1 - confidence:
        outside += 2 * comb(num, rank) / 2**num
        rank += 1
    rank = max(rank - 1, 0)
    return ordered[rank], ordered[num - 1 - rank]


def table(found: dict[str, list[Served]]) -> str:
    """What a person reads, as Markdown."""
    bound = 2 * max(LENGTH, 2 * NUM_PAGES * PAGE_TOKENS)
    lines = ["| queue | answer tokens/s, median | gap, median | most |", "|---|---|---|---|"]
    for queue, rounds in found.items():
        gaps = [one.gap for one in rounds]
        rate = median(one.tokens_per_s for one in rounds)
        lines.append(f"| {queue} | {rate:.0f} | {median(gaps):.0f} | {max(gaps):.0f} |")
    lines += ["", *(_ratio(found, clock) for clock in ("tokens_per_s", "tokens_per_cpu_s"))]
    lines.append(f"Bound of the gap under vtc: {bound}.")
    return "\n".join(lines)


def _ratio(found: dict[str, list[Served]], rate: str) -> str:
    pairs = zip(found["vtc"], found["fcfs"], strict=True)
    ratios = [getattr(fair, rate) / getattr(unfair, rate) for fair, unfair in pairs]
    low, high = median_interval(ratios)
    return (
        f"{rate}, vtc / fcfs in {len(ratios)} pairs: median {median(ratios):.3f}, "
        f"95 % interval {low:.3f} to {high:.3f} (bar 0.95)."
    )


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=41)
    options.add_argument("--requests", type=int, default=12, help="of each tenant in a round")
    options.add_argument("--out", type=Path, help="JSON of all rounds")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(Path(folder), num_rounds=chosen.rounds, num_each=chosen.requests))
    print(table(found))
    if chosen.out:
        document = {queue: [asdict(one) for one in rounds] for queue, rounds in found.items()}
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
