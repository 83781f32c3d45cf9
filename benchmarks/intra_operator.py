"""Intra-operator plans of whole models: size of the problem, time to solve it, and what the plans cost.

python -m benchmarks.intra_operator
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import markdown, table
from placement.costs.devices import device_type
from placement.intra.baselines import plan_by_hand, replicated_cost
from placement.intra.device_mesh import device_mesh
from placement.intra.nodes import Freedom
from placement.intra.search import IntraPlan, parallelize
from vocabulary.layer_graph import LayerGraph, Layout
from workers.graphs.families import family_function
from workers.graphs.program import read_program
from workers.graphs.reading import layer_graph

HEADINGS = (
    "model", "devices", "operators", "choices", "variables", "trace s", "solve s",
    "plan ms", "by hand ms", "replicated ms", "plan MiB", "by hand MiB",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    source: str
    device_type: str
    tensor: int = 4
    hosts: int = 1
    rows: int = 1
    length: int = 128
    # Only as much memory as the plan by hand takes.
    is_tight: bool = False
    ties_repeats: bool = True

    @property
    def words(self) -> str:
        extra = [
            word for word, holds in (("tight", self.is_tight), ("untied", not self.ties_repeats)) if holds
        ]
        size = f"{self.rows}x{self.length}"
        return " ".join([self.source.removeprefix("random://"), size, *extra])


CASES = (
    *(Case(f"random://{name}", "a100-80g") for name in ("bert-large", "gpt2-large", "llama-large")),
    Case("random://mixtral-base", "a100-80g"),
    Case("random://gpt2-large", "a100-80g", ties_repeats=False),
    *(Case(f"random://{name}", "a100-80g", is_tight=True) for name in ("bert-large", "gpt2-large")),
    Case("random://mixtral-base", "a100-80g", is_tight=True),
    Case("random://gpt2-large", "h100-80g", tensor=8),
    Case("random://gpt2-large", "h100-80g", rows=8, length=1024),
    Case("random://gpt2-large", "h100-80g", hosts=2, rows=2),
)


def main() -> None:
    print(markdown(table(HEADINGS, [row(case) for case in CASES])))


def row(case: Case) -> tuple[str, ...]:
    start_s = time.process_time()
    graph, by_hand_layouts = read(case)
    trace_s = time.process_time() - start_s
    mesh = device_mesh(device_type(case.device_type), graph, tensor=case.tensor, hosts=case.hosts)
    freedom = Freedom()
    by_hand = None if case.hosts > 1 else plan_by_hand(graph, mesh, by_hand_layouts, freedom=freedom)
    memory_bytes = by_hand.cost.peak_bytes * 1.001 if by_hand is not None and case.is_tight else None
    start_s = time.process_time()
    plan = parallelize(graph, mesh, memory_bytes=memory_bytes, ties_repeats=case.ties_repeats, gap=1e-6)
    solve_s = time.process_time() - start_s
    effort = plan.effort
    return (
        case.words,
        f"{case.hosts} x {case.tensor} {case.device_type}",
        str(effort.num_operators),
        str(effort.num_classes),
        str(effort.num_variables),
        f"{trace_s:.2f}",
        f"{solve_s:.2f}",
        f"{plan.cost.total_s * 1e3:.3f}",
        "-" if by_hand is None else f"{by_hand.cost.total_s * 1e3:.3f}",
        f"{replicated_cost(graph, mesh).total_s * 1e3:.3f}",
        f"{peak_mib(plan):.0f}",
        "-" if by_hand is None else f"{peak_mib(by_hand):.0f}",
    )


def read(case: Case) -> tuple[LayerGraph, dict[str, Layout]]:
    model = family_function(case.source, base_dir=Path())
    program = read_program(model.apply, model.parameters, model.inputs(case.rows, case.length))
    return layer_graph(program), dict(model.by_hand(case.tensor))


def peak_mib(plan: IntraPlan) -> float:
    return plan.cost.peak_bytes / 2**20


if __name__ == "__main__":
    main()
