"""One question, two simulators: the compiled scorer where it answers for the policy, else the events."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.fast import score, supports
from simulator.generation.arrivals import asks_for_tokens
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement
from vocabulary.trace import Trace

ENGINES = ("auto", "fast", "events")


def outcomes_of(
    placement: Placement,
    trace: Trace,
    *,
    deployment: Deployment,
    engine: str = "auto",
    opens_s: Sequence[float] | None = None,
) -> Outcomes:
    """Outcomes of a trace, the same from either engine; the trace is aligned to the deployment here.

    opens_s: when each group opens, in seconds of the trace; only engine `events` knows of that. Raises
    InvalidInput if engine `fast` is asked for and is not for the policy, the trace or openings.
    """
    assert engine in ENGINES, engine
    aligned = trace.aligned_to(deployment.model_names)
    generates = asks_for_tokens(aligned)
    if engine == "fast" and generates:
        raise InvalidInput(
            "the fast engine answers in one shot, and the trace asks for output tokens",
            where="--engine",
            hint="use --engine auto or events, or leave output_tokens out of the trace",
        )
    is_fast = supports(deployment.policy) and not generates
    if engine == "fast" and not is_fast:
        policy = deployment.policy
        raise InvalidInput(
            f"the fast engine has no queue {policy.queue} with batching {policy.batching}",
            where="--engine",
            hint="it does fcfs without batching; use --engine auto or events",
        )
    if engine == "fast" and opens_s is not None:
        raise InvalidInput(
            "the fast engine has all groups open from the start",
            where="--engine",
            hint="use --engine auto or events with --moving-from",
        )
    if engine == "events" or not is_fast or opens_s is not None:
        from simulator.simulate import simulate  # the machines: not for those who score

        return simulate(placement, aligned, deployment=deployment, opens_s=opens_s)
    return score(placement, aligned, deployment=deployment)
