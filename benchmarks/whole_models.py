"""Planning all weights of a model at once: how long it takes, and how near to the bound the plan is.

A llama of 32 layers, 291 tensors, sharded by tensor parallelism and replicated. Estimated, nothing is moved.

    python -m benchmarks.whole_models
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass

from resharding.baselines.tasks import tasks_of
from resharding.classes import forget_cuts
from resharding.moves import Move, Placed, on_hosts
from resharding.network import Network
from resharding.planner import TransferPlan, plan_transfer
from vocabulary.sharding import Sharding

NETWORK = Network(12.5e9, latency_s=0.0)
NUM_LAYERS, WIDTH, INNER, NUM_WORDS = 32, 4096, 11008, 32000
ITEM_BYTES = 2
NUM_ROUNDS = 9
# Of a plan with up to so many tasks; and eight replicas by the time of one.
PLAN_BAR_MS, MAX_BAR_TASKS = 50.0, 4600
MULTICAST_BAR = 1.06


@dataclass(frozen=True, slots=True)
class Mesh:
    """`replicas` copies, each over `num_tensor` devices, on hosts with so many devices."""

    hosts: tuple[int, ...]
    devices_per_host: int
    replicas: int
    num_tensor: int

    def placed(self, shape: tuple[int, ...], dim: int | None) -> Placed:
        dims = tuple(("tensor",) if index == dim else () for index in range(len(shape)))
        axes = (("replica", self.replicas), ("tensor", self.num_tensor))
        return Placed(Sharding(axes, dims), on_hosts(self.hosts, self.devices_per_host))


CASES = {
    "2 x TP8 to TP16": (Mesh((0, 1), 8, 2, 8), (Mesh((2, 3), 8, 1, 16),)),
    "3 x TP4 to TP20": (Mesh((0, 1, 2), 4, 3, 4), (Mesh((3, 4, 5, 6, 7), 4, 1, 20),)),
    "4 x TP4 to TP16": (Mesh((0, 1, 2, 3), 4, 4, 4), (Mesh((4, 5, 6, 7), 4, 1, 16),)),
    "TP8 to 1 x TP8": (Mesh((0,), 8, 1, 8), (Mesh((1,), 8, 1, 8),)),
    "TP8 to 8 x TP8": (Mesh((0,), 8, 1, 8), tuple(Mesh((1 + i,), 8, 1, 8) for i in range(8))),
}


def main() -> int:
    print("| move | tensors | tasks | classes | messages | x bound | planned in (ms) |")
    print("|---" * 7 + "|")
    plans, is_met = {}, True
    for name, (source, targets) in CASES.items():
        moves = _moves(source, targets)
        num_tasks = len(tasks_of(moves))
        plan, plan_ms = _planned(moves)
        plans[name] = plan
        is_met &= plan_ms <= PLAN_BAR_MS or num_tasks > MAX_BAR_TASKS
        print(
            f"| {name} | {len(moves)} | {num_tasks} | {len(plan.classes)} | {len(plan.sends)} "
            f"| {plan.ratio:.4f} | {plan_ms:.1f} |"
        )
    times = plans["TP8 to 8 x TP8"].makespan_s / plans["TP8 to 1 x TP8"].makespan_s
    is_met &= times <= MULTICAST_BAR
    print(f"\nEight replicas in {times:.3f} times the time of one (bar {MULTICAST_BAR}).")
    print(
        f"Bars (plans of up to {MAX_BAR_TASKS} tasks in {PLAN_BAR_MS:g} ms): {'met' if is_met else 'MISSED'}"
    )
    return 0 if is_met else 1


def _planned(moves: list[Move]) -> tuple[TransferPlan, float]:
    """The median of several, from warm: what the first call imports is there, no tensor is known yet."""
    plan_transfer(moves, NETWORK)
    took_ms = []
    for _ in range(NUM_ROUNDS):
        forget_cuts()
        plan = plan_transfer(moves, NETWORK)
        took_ms.append(1e3 * plan.plan_s)
    return plan, statistics.median(took_ms)


def _moves(source: Mesh, targets: tuple[Mesh, ...]) -> list[Move]:
    """Columns of what goes into a layer's two halves, rows of what comes out; norms are replicated."""
    layer = [((WIDTH, WIDTH), 1)] * 3 + [((WIDTH, WIDTH), 0)]
    layer += [((WIDTH, INNER), 1)] * 2 + [((INNER, WIDTH), 0)] + [((WIDTH,), None)] * 2
    tensors = [((NUM_WORDS, WIDTH), 0), *layer * NUM_LAYERS, ((WIDTH,), None), ((NUM_WORDS, WIDTH), 0)]
    return [
        Move(shape, ITEM_BYTES, source.placed(shape, dim), tuple(one.placed(shape, dim) for one in targets))
        for shape, dim in tensors
    ]


if __name__ == "__main__":
    sys.exit(main())
