"""Run records without a fleet: a deployment is "served" by a simulation of another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulator.simulate import simulate
from statmux.benching import Job, run_document, write_record
from statmux.recording import Timings
from statmux.replay import Replayed
from vocabulary.deployment import Deployment
from vocabulary.plan import Plan
from vocabulary.trace import Trace


def record(
    folder: Path,
    *,
    believed: Deployment,
    plan: Plan,
    trace: Trace,
    real: Deployment | None = None,
    execute_s: np.ndarray | None = None,
) -> Path:
    """The record of `trace` on a fleet that behaves as `real` does, while its files say `believed`."""
    measured = simulate(plan.placement, trace, deployment=real or believed)
    simulated = simulate(plan.placement, trace, deployment=believed)
    if execute_s is None:
        execute_s = np.full(len(trace), np.nan)  # a fleet that does not say
    queue_s = np.where(measured.served, measured.latency_s - execute_s, np.nan)
    replayed = Replayed(measured, Timings(queue_s, execute_s, np.zeros(len(trace))), trace.duration_s, {})
    job = Job(believed, plan, trace, "nowhere:0", {}, True, 60.0)
    document = run_document(believed, job, replayed, simulated, scale=None)
    write_record(folder, document, believed, job, replayed=replayed, simulated=simulated)
    return folder
