"""One replay of a trace against a running fleet, and the same in the simulator, as documents and records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulator.fast_or_events import outcomes_of
from statmux.calibrate import observed_overhead
from statmux.client.channels import Tls
from statmux.precise import run_precisely
from statmux.recording import write_served, write_timings
from statmux.render import Console
from statmux.replay import Load, Replayed, replay
from statmux.reporting.record import MEASURED_FILE, SIMULATED_FILE, write_run
from statmux.scaling import with_slo_scale
from statmux.summary import summary
from vocabulary.deployment import Deployment
from vocabulary.formats.disk import write_outcomes
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Job:
    """One fleet, one trace, the plan that runs. token, tls: where the fleet asks for them."""

    deployment: Deployment
    plan: Plan
    trace: Trace
    address: str
    inputs: Mapping[str, Mapping[str, object]]
    is_emulated: bool
    timeout_s: float
    token: str | None = None
    tls: Tls | None = None

    @property
    def placement(self) -> Placement:
        return self.plan.placement


def run_once(console: Console, job: Job, scale: float | None, record: Path | None) -> dict[str, Any]:
    """Replay, simulate, compare; `scale` multiplies all SLOs. With `record`, the run is written there."""
    replayed = _replay(console, job, scale)
    scaled = job.deployment if scale is None else with_slo_scale(job.deployment, scale)
    simulated = outcomes_of(job.placement, job.trace, deployment=scaled, engine="auto")
    document = run_document(scaled, job, replayed, simulated, scale=scale)
    if record is not None:
        write_record(record, document, scaled, job, replayed=replayed, simulated=simulated)
        console.say(f"recorded in {record}; `statmux report {record}` draws it")
    return document


def _replay(console: Console, job: Job, scale: float | None) -> Replayed:
    models = job.deployment.models
    slos = {model.name: model.slo for model in models}
    generating = frozenset(model.name for model in models if model.generates)
    load = Load(job.trace, job.inputs, slos, job.timeout_s, generating, scale)
    label = "replaying" if scale is None else f"replaying at SLO scale {scale:g}"
    groups = [group.id for group in job.placement.groups]
    with console.progress(label, total=len(job.trace)) as progress:
        return run_precisely(
            replay(
                job.address,
                load,
                groups=groups,
                progress=lambda done, _: progress.step(done),
                token=job.token,
                tls=job.tls,
            )
        )


def run_document(
    deployment: Deployment, job: Job, replayed: Replayed, simulated: Outcomes, *, scale: float | None
) -> dict[str, Any]:
    """Both summaries and what the run was like."""
    measured, expected = summary(replayed.outcomes), summary(simulated)
    overhead = observed_overhead(replayed.outcomes, replayed.timings)
    return {
        "fleet": deployment.name,
        "address": job.address,
        "emulated": job.is_emulated,
        "slo_scale": scale,
        "slo_attainment": measured["slo_attainment"],
        "slo_attainment_simulated": expected["slo_attainment"],
        "difference_points": 100 * (expected["slo_attainment"] - measured["slo_attainment"]),
        "fixed_overhead_s": deployment.latency.fixed_overhead_s,
        "duration_s": replayed.duration_s,
        "max_client_lag_s": replayed.max_lag_s,
        "measured": measured,
        "simulated": expected,
        "slo_s": {model.name: model.slo.latency_s for model in deployment.models},
        "errors": dict(replayed.errors),
        "observed_overhead": None if overhead is None else asdict(overhead),
    }


def write_record(
    folder: Path,
    document: dict[str, Any],
    deployment: Deployment,
    job: Job,
    *,
    replayed: Replayed,
    simulated: Outcomes,
) -> None:
    """The run as a folder (`reporting.record`, `recording`); `deployment` has the objectives of the run."""
    groups = [
        {
            "id": group.id,
            "devices": group.devices,
            "tensor": group.config.tensor,
            "pipeline": group.config.pipeline,
            "models": group.models,
        }
        for group in job.placement.groups
    ]
    models = {
        model.name: {
            "slo_s": model.slo.latency_s,
            "provenance": model.profile.provenance.kind if model.profile else None,
        }
        for model in deployment.models
    }
    run = {
        **document,
        "plan": {"groups": groups},
        "models": models,
        "assumptions": _assumptions(document, deployment),
    }
    write_run(folder, run)
    write_served(folder, deployment, job.plan)
    write_timings(folder, replayed.timings)
    write_outcomes(folder / MEASURED_FILE, replayed.outcomes, placement=job.placement)
    write_outcomes(folder / SIMULATED_FILE, simulated, placement=job.placement)


def _assumptions(document: dict[str, Any], deployment: Deployment) -> list[str]:
    policy = deployment.policy
    kinds = sorted({model.profile.provenance.kind for model in deployment.models if model.profile})
    lines = [
        f"router {policy.router}, queue {policy.queue}, admission {policy.admission}, "
        f"batching {policy.batching}",
        f"profiles: {', '.join(kinds)}; fixed overhead in the simulation: "
        f"{document['fixed_overhead_s'] * 1e3:g} ms",
        "latency counts from when a request was due, so a late client makes it longer; "
        f"this client was at most {document['max_client_lag_s'] * 1e3:.1f} ms late",
        "attainment counts every request: refused, unplaced and failed ones are missed",
    ]
    if not document["emulated"] and any("cpu" in node.device_type for node in deployment.cluster.nodes):
        lines.append(
            "CPU devices are virtual: groups that compute at the same time share this machine's "
            f"{os.cpu_count()} cores and slow each other down, which the simulation does not know"
        )
    if document["emulated"]:
        lines.insert(0, "emulated: stages slept for their profiled latency instead of computing")
    return lines
