"""One simulation as the verb asks for it, alone or beside a run record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.fast_or_events import outcomes_of
from statmux.comparing import comparison
from statmux.recording import Recorded, read_recorded
from statmux.scaling import sped_up, with_slo_scale
from statmux.simulate_view import simulated_document
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.fit import check_fit
from vocabulary.formats.disk import load_deployment, load_plan, load_traffic
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement


@dataclass(frozen=True, slots=True)
class Question:
    """What the flags say. Scales multiply; num_resamples 0: no confidence intervals.

    moving_from: the plan that was served until the trace begins; store_bytes_per_s: of reading weights.
    """

    overrides: tuple[str, ...]
    engine: str
    trim_s: float
    slo_scale: float
    rate_scale: float
    num_resamples: int
    moving_from: Path | None = None
    store_bytes_per_s: float = 1e9


@dataclass(frozen=True, slots=True)
class Found:
    """`recorded` is the run that the simulation stands beside, if any."""

    document: dict[str, Any]
    deployment: Deployment
    placement: Placement
    outcomes: Outcomes
    recorded: Recorded | None = None


def simulated(question: Question, deployment: Path, plan: Path, trace: Path) -> Found:
    """Replay a trace file on a plan file."""
    read = load_deployment(deployment, overrides=question.overrides)
    read = with_slo_scale(read, question.slo_scale)
    placement = load_plan(plan, deployment=read).placement
    check_fit(placement, read)
    requests = sped_up(load_traffic(trace, read), question.rate_scale)
    opens_s = _opens_s(question, placement, read)
    outcomes = outcomes_of(placement, requests, deployment=read, engine=question.engine, opens_s=opens_s)
    document = _document(question, outcomes, read, placement)
    if opens_s is not None:
        document["opens_s"] = {group.id: at_s for group, at_s in zip(placement.groups, opens_s, strict=True)}
    return Found(document, read, placement, outcomes)


def compared(question: Question, record: Path, deployment: Path | None, plan: Path | None) -> Found:
    """Replay the requests of a record on its own fleet, or the given one, under the record's objectives."""
    if question.slo_scale != 1 or question.rate_scale != 1:
        raise InvalidInput(
            "a record is compared at its own times and objectives",
            where="--compare-to",
            hint="leave --slo-scale and --rate-scale out",
        )
    recorded = read_recorded(record, deployment=deployment, plan=plan, overrides=question.overrides)
    read, placement = recorded.deployment, recorded.placement
    check_fit(placement, read)
    outcomes = outcomes_of(placement, recorded.measured.trace, deployment=read, engine=question.engine)
    found = _document(question, outcomes, read, placement)
    run = recorded.record.run
    document = {
        "fleet": run["fleet"],
        "record": str(record),
        "slo_scale": run.get("slo_scale"),
        "emulated": bool(run.get("emulated")),
        "fixed_overhead_s": read.latency.fixed_overhead_s,
        "estimated": found["estimated"],
        "estimated_models": [name for name, one in found["models"].items() if one["estimated"]],
        **comparison(recorded.measured, outcomes, trim_s=question.trim_s),
        "simulated": found,
    }
    return Found(document, read, placement, outcomes, recorded)


def without_lengths(found: Found) -> tuple[str, ...]:
    """Models that generate and whose requests in the trace have no token counts, so that none is drawn."""
    trace = found.outcomes.trace
    if trace.tokens is not None:
        return ()
    counts = zip(trace.models, trace.counts().tolist(), strict=True)
    return tuple(name for name, count in counts if count and found.deployment.model(name).generates)


def _opens_s(question: Question, placement: Placement, deployment: Deployment) -> tuple[float, ...] | None:
    """When groups open that another plan had to become; estimated from links, as `plan --diff` does."""
    from resharding.move_costs import Store
    from resharding.network import network_of
    from simulator.loading import opening_times_s

    if question.moving_from is None:
        return None
    return opening_times_s(
        load_plan(question.moving_from, deployment=deployment).placement,
        placement,
        deployment=deployment,
        network=network_of(deployment.cluster),
        store=Store(question.store_bytes_per_s),
    )


def _document(
    question: Question, outcomes: Outcomes, deployment: Deployment, placement: Placement
) -> dict[str, Any]:
    return simulated_document(
        outcomes, deployment, placement, trim_s=question.trim_s, num_resamples=question.num_resamples
    )
