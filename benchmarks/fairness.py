"""How far apart tenants are served, by queue policy: the suites of the VTC paper, and its real trace.

    python -m benchmarks.fairness --data "$DATA" --out fairness.json

Every suite is simulated under every policy, so figures repeat exactly. `behind` is how many weighted tokens a
second (1 for a token of a prompt, 2 for one of an answer) a tenant was behind the one with most service in 60
seconds, as far as it had asked for that much: the tenant furthest behind, and all together, as the published
tables count. Policies that charge otherwise are counted the same. Without --data the real trace is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fairness_suites import Suite, suites
from simulator.simulate import simulate
from vocabulary.deployment import Deployment, ModelSpec, Policy
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.outcomes import Outcomes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tenant_service import service_by_tenant, service_difference

# About Llama 2 7B on an A10G, where the paper measured: weights read in 25 ms, 2,500 prompt tokens a second,
# half a megabyte of keys and values a token, room for 10,000 tokens. No measurement.
TIMES = StepTimes(0.025, 4e-4, 9e-7)
NUM_PAGES, PAGE_TOKENS = 625, 16
PLACEMENT = Placement((Group("g", ("n-0:0",), ParallelConfig(), ("llama",)),))
POLICIES: Mapping[str, Policy] = {
    "fcfs": Policy(queue="fcfs", admission="none"),
    "vtc": Policy(queue="vtc", admission="none"),
    "vtc, predicted": Policy(queue="vtc", admission="none", fairness=Fairness(predicts_output=True)),
    "vtc, profiled": Policy(queue="vtc", admission="none", fairness=Fairness(cost="profiled")),
    "vtc, measured": Policy(queue="vtc", admission="none", fairness=Fairness(cost="measured")),
}
COUNTED = Fairness()


@dataclass(frozen=True, slots=True)
class Row:
    """Throughput in tokens of prompts and answers a second, until the last answer has ended."""

    suite: str
    policy: str
    max_behind_per_s: float
    mean_behind_per_s: float
    max_sum_per_s: float
    mean_sum_per_s: float
    throughput_tokens_per_s: float
    ttft_p50_s: Mapping[str, float | None] = field(default_factory=dict)


def measured(suite: Suite, policy: str) -> Row:
    found = simulate(PLACEMENT, suite.trace, deployment=_deployment(POLICIES[policy]))
    difference = service_difference(found, COUNTED)
    by_tenant = service_by_tenant(found, COUNTED)
    return Row(
        suite.name,
        policy,
        difference.max_per_s,
        difference.mean_per_s,
        difference.max_sum_per_s,
        difference.mean_sum_per_s,
        _throughput(found),
        {name: one.ttft_p50_s for name, one in by_tenant.items()},
    )


def _throughput(found: Outcomes) -> float:
    tokens = found.trace.tokens
    assert tokens is not None and found.served.all()
    num_tokens = int(tokens.input_tokens.sum(dtype=np.int64) + tokens.output_tokens.sum(dtype=np.int64))
    return num_tokens / float(found.finish_s.max() - found.trace.arrival_s[0])


def _deployment(policy: Policy) -> Deployment:
    entry = ProfileEntry(ParallelConfig(), (1,), {}, {1: (1.0,)}, (TIMES,), (1,))
    profile = profile_of("llama", "gpu", [entry], provenance=Provenance("estimated"))
    settings = GenerationSettings(
        num_pages=NUM_PAGES, page_tokens=PAGE_TOKENS, has_prefix_cache=False, reserves_output=True
    )
    cluster = Cluster((NodeClass("n", 1, "gpu", 1, 2**34),))
    return Deployment(
        "fairness", cluster, (ModelSpec("llama", profile=profile, generation=settings),), policy
    )


def table(rows: list[Row]) -> str:
    """What a person reads, as Markdown."""
    lines = [
        "| suite | policy | behind: most | mean | all together: most | mean | tokens/s | of fcfs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    first_come = {row.suite: row.throughput_tokens_per_s for row in rows if row.policy == "fcfs"}
    for row in rows:
        share = row.throughput_tokens_per_s / first_come[row.suite]
        cells = (
            row.suite, row.policy, f"{row.max_behind_per_s:.0f}", f"{row.mean_behind_per_s:.0f}",
            f"{row.max_sum_per_s:.0f}", f"{row.mean_sum_per_s:.0f}", f"{row.throughput_tokens_per_s:.0f}",
            f"{share:.3f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def document(rows: list[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, help="folder with traces/")
    options.add_argument("--suites", nargs="*", help="only these")
    options.add_argument("--out", type=Path, help="JSON of all rows")
    chosen = options.parse_args()
    rows = []
    for suite in suites(chosen.data):
        if chosen.suites and suite.name not in chosen.suites:
            continue
        for policy in POLICIES:
            print(f"{suite.name}: {policy}", file=sys.stderr)
            rows.append(measured(suite, policy))
    print(table(rows))
    if chosen.out:
        chosen.out.write_text(json.dumps(document(rows), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
