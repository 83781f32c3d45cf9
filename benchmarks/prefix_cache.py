"""Hit rates of the prefix cache: orders of a batch, evictions, and routers of a fleet of four replicas.

    python -m benchmarks.prefix_cache --data "$DATA" --out prefix_cache.json

Everything is simulated with the machines that serve; only the seconds of processor time in the JSON depend on
where it runs. Without --data the Mooncake traces are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.prefix_orders import EVICTIONS, QUEUES, longest_pages, serve
from benchmarks.prefix_routing import ROUTERS, Routed, mooncake, route, sessions, skewed, strangers
from simulator.traffic.shared_prompts import SHARED_PROMPTS
from vocabulary.trace import Trace

SEED = 0
# Of all different pages of the batch; 0 stands for as many as the longest prompt has.
CAPACITIES = (0.0, 0.1, 0.3)
MAX_SEQUENCES = (1, 16)


@dataclass(frozen=True, slots=True)
class Ordered:
    """capacity: of all different pages; hit_rate, best: of all prompt tokens, and when each page is computed
    once."""

    batch: str
    eviction: str
    max_sequences: int
    capacity: float
    num_pages: int
    queue: str
    hit_rate: float
    best: float
    num_steps: int


def orders() -> Iterator[Ordered]:
    for name, draw in SHARED_PROMPTS.items():
        prompts = draw(seed=SEED)
        num_tokens, longest = int(prompts.tokens.input_tokens.sum()), longest_pages(prompts)
        for max_sequences in MAX_SEQUENCES:
            for capacity in CAPACITIES:
                num_pages = max(longest, round(capacity * prompts.num_unique_pages))
                for eviction in EVICTIONS:
                    for queue in QUEUES:
                        found = serve(
                            prompts,
                            queue=queue,
                            num_pages=num_pages,
                            eviction=eviction,
                            max_sequences=max_sequences,
                        )
                        yield Ordered(
                            name,
                            eviction,
                            max_sequences,
                            num_pages / prompts.num_unique_pages,
                            num_pages,
                            queue,
                            found.hit_tokens / num_tokens,
                            prompts.best_hit_rate,
                            found.num_steps,
                        )


def routes(data: Path | None) -> Iterator[Routed]:
    for name, trace, settings in _traces(data):
        for router in ROUTERS:
            print(f"{name}: {router}", file=sys.stderr)
            yield route(trace, workload=name, router=router, **settings)
        print(f"{name}: prefix_affinity, eviction by cost", file=sys.stderr)
        by_cost = route(trace, workload=name, router="prefix_affinity", eviction="cost", **settings)
        yield Routed(**{**asdict(by_cost), "router": "prefix_affinity, cost"})


def _traces(data: Path | None) -> Iterator[tuple[str, Trace, dict[str, int]]]:
    """A name, the trace, and what the replicas have."""
    for seed in (1, 2):
        yield f"sessions, seed {seed}", sessions(rate_rps=12.0, duration_s=200.0, seed=seed), {}
        yield f"skewed, seed {seed}", skewed(rate_rps=24.0, duration_s=60.0, seed=seed), {"num_pages": 3000}
    yield "strangers", strangers(rate_rps=12.0, duration_s=100.0, seed=1), {}
    if data is not None:
        large = {"num_pages": 40_000, "max_batched_tokens": 2048}
        for part in ("conversation", "synthetic"):
            yield f"Mooncake {part}", mooncake(data, part=part, most=1500), large


def orders_table(found: list[Ordered]) -> str:
    """A line for each batch, capacity and eviction; a column for each order."""
    lines = [
        f"| batch | sequences | pages | eviction | best | {' | '.join(QUEUES)} |",
        f"|{'---|' * (5 + len(QUEUES))}",
    ]
    rows: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        pages = f"{one.num_pages} ({one.capacity:.0%})"
        row = (one.batch, str(one.max_sequences), pages, one.eviction, f"{one.best:.3f}")
        rows.setdefault(row, []).append(f"{one.hit_rate:.3f}")
    lines += [f"| {' | '.join((*row, *rates))} |" for row, rates in rows.items()]
    return "\n".join(lines)


def routes_table(found: list[Routed]) -> str:
    lines = [
        "| workload | requests | router | hit rate | TTFT mean | p50 | p99 | finish mean | busiest replica |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.workload} | {one.num_requests:,} | {one.router} | {one.hit_rate:.3f} "
        f"| {one.ttft_mean_s * 1000:.0f} ms | {one.ttft_p50_s * 1000:.0f} ms "
        f"| {one.ttft_p99_s * 1000:.0f} ms | {one.finish_mean_s:.2f} s | {one.largest_share:.1%} |"
        for one in found
    ]
    return "\n".join(lines)


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, help="folder with traces/")
    options.add_argument("--out", type=Path, help="JSON of all figures")
    chosen = options.parse_args()
    ordered = list(orders())
    print(orders_table(ordered), flush=True)
    routed = list(routes(chosen.data))
    print(f"\n{routes_table(routed)}")
    if chosen.out:
        document = {"orders": [asdict(one) for one in ordered], "routers": [asdict(one) for one in routed]}
        chosen.out.write_text(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
