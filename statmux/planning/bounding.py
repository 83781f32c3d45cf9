"""How far a plan may be from the best: what memory costs, and what nothing can exceed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from statmux.render import Console
from vocabulary.deployment import Deployment
from vocabulary.trace import Trace

if TYPE_CHECKING:
    from placement.bound.upper import Bound

# Both are shares of the same requests, so they differ by less only where they are equal.
ROUNDING = 1e-12

UNASKED: dict[str, Any] = {
    "bound": None,
    "bound_gap": None,
    "bound_seconds": None,
    "bound_is_exact": None,
    "bound_why_not": None,
    "attainment_without_memory": None,
    "layout_without_memory": None,
}


def bounds(
    deployment: Deployment,
    trace: Trace,
    attainment: float,
    *,
    trim_s: float,
    budget_s: float | None,
    console: Console,
) -> dict[str, Any]:
    """Keys of the document, about the trace that was planned for. Interrupted, what is missing is None."""
    from placement.bound.upper import upper_bound

    found = dict(UNASKED)
    try:
        with console.progress("without memory"):
            found |= reference_keys(deployment, trace, trim_s=trim_s, budget_s=budget_s)
        with console.progress("upper bound"):
            bound = upper_bound(deployment, trace, trim_s=trim_s, budget_s=budget_s)
    except KeyboardInterrupt:
        console.warn("interrupted: the bound is left out")
        return found
    return found | bound_keys(bound, attainment, console=console)


def is_reference_cheap(deployment: Deployment, trace: Trace) -> bool:
    """Whether the compiled scorer answers: then the reference comes with every plan, in a fraction of the
    search's time."""
    from simulator.fast import supports
    from simulator.generation.arrivals import asks_for_tokens

    return supports(deployment.policy) and not asks_for_tokens(trace)


def reference_keys(
    deployment: Deployment, trace: Trace, *, trim_s: float, budget_s: float | None
) -> dict[str, Any]:
    """Keys of the document: the same policy with memory removed."""
    from placement.bound.memoryless import without_memory

    reference = without_memory(deployment, trace, trim_s=trim_s, budget_s=budget_s)
    return {
        "attainment_without_memory": reference.attainment,
        "layout_without_memory": reference.layout,
    }


def bound_keys(bound: Bound, attainment: float, *, console: Console) -> dict[str, Any]:
    """Keys of the document. A bound below what was found is wrong: the gap is negative, the user is told."""
    gap = bound.attainment - attainment
    if gap < -ROUNDING:
        console.warn(
            f"the upper bound, {bound.attainment:.6f}, is below what the plan attains, {attainment:.6f}: one "
            "of them is wrong, which is a bug in statmux; please report it with the deployment and the trace"
        )
    return {
        "bound": bound.attainment,
        "bound_gap": 0.0 if abs(gap) <= ROUNDING else gap,
        "bound_seconds": bound.seconds,
        "bound_is_exact": bound.is_exact,
        "bound_why_not": bound.why_not or None,
    }
