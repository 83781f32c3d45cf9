"""Processes of their own for benchmarks/simulator.py; they print what they took, and their peak memory.

python -m benchmarks.simulator_child count 100000000
python -m benchmarks.simulator_child events "$DATA" 100000
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.simulator_cases import W3, pipelines, published, repeated
from simulator.fast import Scorer, load_compiler
from simulator.simulate import simulate

# 8 groups of 4 stages.
NUM_DEVICES = 32


def main() -> int:
    match sys.argv[1:]:
        case ["count", num_requests]:
            work = prepared_count(int(num_requests))
        case ["events", data, num_requests]:
            work = prepared_events(Path(data), int(num_requests))
        case _:
            raise SystemExit(__doc__)
    start_s, cpu_start_s = perf_counter(), process_time()
    work()
    took = {"wall_s": perf_counter() - start_s, "cpu_s": process_time() - cpu_start_s}
    print(json.dumps(took | {"peak_bytes": _peak_bytes()}))
    return 0


def prepared_count(num_requests: int) -> Callable[[], object]:
    """Scores one placement on a long trace, set-up included; the trace is made here."""
    load_compiler()
    warm = pipelines(1, num_groups=NUM_DEVICES // 4)
    Scorer(warm.trace, deployment=warm.deployment).tally(warm.layout, warm.contents[0])
    case = pipelines(num_requests, num_groups=NUM_DEVICES // 4)
    return lambda: Scorer(case.trace, deployment=case.deployment).tally(case.layout, case.contents[0])


def prepared_events(data: Path, num_requests: int) -> Callable[[], object]:
    """The event simulator on w3's test trace, over and over."""
    case = published(data, W3, "mp-search")
    simulate(case.placement, repeated(case.trace, 100), deployment=case.deployment)  # imports what is late
    trace = repeated(case.trace, num_requests)
    return lambda: simulate(case.placement, trace, deployment=case.deployment)


def _peak_bytes() -> int:
    """Resident, of this program alone: what getrusage says includes the process that started it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    sys.exit(main())
