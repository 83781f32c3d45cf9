"""Other traffic of the kind that a trace is a sample of: from declared workloads, or from its own blocks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.traffic.blocks import redrawn
from simulator.traffic.workload import generate
from vocabulary.deployment import Deployment, Workload
from vocabulary.trace import Trace

# A trace contradicts a declared rate when it has more or fewer requests by so many standard deviations.
MAX_DEVIATIONS = 4.0


def drawn_anew(deployment: Deployment, trace: Trace, *, keys: tuple[int, ...]) -> Trace:
    """As long as the trace; the same for the same keys.

    Where every model declares a workload, and the trace does not contradict it, that is what the trace is a
    sample of. Otherwise blocks of the trace are put together anew.
    """
    declared = declared_workloads(deployment, trace)
    seed = np.random.SeedSequence(keys)
    if declared is None:
        return redrawn(trace, np.random.Generator(np.random.PCG64(seed)))
    drawn = generate(declared, duration_s=trace.duration_s, seed=int(seed.generate_state(1)[0]))
    return drawn.aligned_to(trace.models)


def declared_workloads(deployment: Deployment, trace: Trace) -> Mapping[str, Workload] | None:
    """The workload of every model by name, if all have one and the trace can be a sample of it.

    Renewal arrivals of rate r and CV c have r t requests in a time t, with a standard deviation of c times
    the root of that (asymptotically; Cox, "Renewal Theory", 1962).
    """
    workloads = {m.name: m.workload for m in deployment.models if m.workload is not None}
    if len(workloads) < len(deployment.models) or not len(trace):
        return None
    for name, count in zip(trace.models, trace.counts(), strict=True):
        expected = workloads[name].rate_rps * trace.duration_s
        deviation = max(1.0, workloads[name].cv) * max(1.0, expected) ** 0.5
        if abs(int(count) - expected) > MAX_DEVIATIONS * deviation:
            return None
    return workloads
