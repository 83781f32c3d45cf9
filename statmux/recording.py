"""A run record that can be simulated again anywhere: beside the outcomes, the fleet as it was.

deployment.yaml has what a simulation needs (cluster, models with the objectives of the run, policies) and no
endpoints, sources or secrets; profiles/ and plan.yaml are what was served; timings.csv is what the fleet said
of each request, in arrival order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statmux.reporting.record import MEASURED_FILE, RunRecord, read_record
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import (
    load_deployment,
    load_outcomes,
    load_plan,
    read_text,
    write_bytes,
    write_plan,
    write_profile,
)
from vocabulary.formats.yaml_out import format_yaml
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.profile import profiles_by_type

DEPLOYMENT_FILE = "deployment.yaml"
PLAN_FILE = "plan.yaml"
TIMINGS_FILE = "timings.csv"
_COLUMNS = ("queue_s", "execute_s", "lag_s")
# Sections that decide what is simulated; the others hold addresses, credentials and the like.
_SECTIONS = ("api_version", "kind", "metadata", "cluster", "serving", "placement", "simulation")
# Where a model comes from does not matter to its profile, and the path may lead nowhere elsewhere.
_NOT_SIMULATED = ("source", "profile", "tokenizer")


@dataclass(frozen=True, slots=True)
class Timings:
    """float64 [requests]; NaN where the fleet did not say.

    queue_s: from when the controller had it until it was begun; execute_s: from then on; lag_s: how much too
    late it was sent.
    """

    queue_s: NDArray[np.float64]
    execute_s: NDArray[np.float64]
    lag_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was served, and what came of it: a record with its fleet and its requests.

    placement: what to simulate; served: what served, the same unless another plan was given.
    """

    record: RunRecord
    deployment: Deployment
    placement: Placement
    served: Placement
    measured: Outcomes


def write_served(folder: Path, deployment: Deployment, plan: Plan) -> None:
    """What ran; the deployment has the objectives of the run already."""
    models = [_model_mapping(folder, model, deployment) for model in deployment.document["models"]]  # type: ignore[union-attr]
    document = {key: deployment.document[key] for key in _SECTIONS if key in deployment.document}
    write_bytes(folder / DEPLOYMENT_FILE, format_yaml({**document, "models": models}).encode())
    write_plan(folder / PLAN_FILE, plan)


def _model_mapping(folder: Path, mapping: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    model = deployment.model(mapping["name"])
    kept = {key: value for key, value in mapping.items() if key not in _NOT_SIMULATED}
    if model.slo.latency_s is not None:
        kept["slo"] = {**mapping["slo"], "latency_ms": model.slo.latency_s * 1000}
    if model.profile is None:
        return kept
    # Models often share a profile: one file for it, named after the first.
    first = next(one.name for one in deployment.models if one.profile is model.profile)
    parts = profiles_by_type(model.profile)
    paths = {
        device_type: f"profiles/{first}.json" if len(parts) == 1 else f"profiles/{first}.{number}.json"
        for number, device_type in enumerate(parts)
    }
    if first == model.name:
        for device_type, part in parts.items():
            write_profile(folder / paths[device_type], part)
    return {**kept, "profile": paths if len(parts) > 1 else next(iter(paths.values()))}


def read_recorded(
    folder: Path, *, deployment: Path | None = None, plan: Path | None = None, overrides: tuple[str, ...] = ()
) -> Recorded:
    """A record with the fleet of its own, or the given one, under the objectives of the run.

    Raises InvalidInput for what is no record, or the record of another fleet.
    """
    record = read_record(folder)
    read = load_deployment(_own(folder, DEPLOYMENT_FILE, deployment), overrides=overrides)
    _check_models(record, read)
    placement = load_plan(_own(folder, PLAN_FILE, plan), deployment=read).placement
    # The groups of the record are those that served, whatever plan is simulated.
    served = placement if plan is None else _placement_of(record, read)
    measured = load_outcomes(folder / MEASURED_FILE, placement=served)
    # The file has the models in the order in which they were first asked for.
    measured = replace(measured, trace=measured.trace.aligned_to(read.model_names))
    return Recorded(record, with_objectives(read, record), placement, served, measured)


def with_objectives(deployment: Deployment, record: RunRecord) -> Deployment:
    """The deployment with the latency objectives that held in the run."""
    recorded = record.run["models"]
    models = tuple(
        replace(model, slo=replace(model.slo, latency_s=recorded[model.name]["slo_s"]))
        for model in deployment.models
    )
    return replace(deployment, models=models)


def write_timings(folder: Path, timings: Timings) -> None:
    columns = (getattr(timings, name).tolist() for name in _COLUMNS)
    rows = zip(*columns, strict=True)
    lines = [",".join("" if seconds != seconds else repr(seconds) for seconds in row) for row in rows]
    write_bytes(folder / TIMINGS_FILE, "\n".join([",".join(_COLUMNS), *lines, ""]).encode())


def read_timings(folder: Path, num_requests: int) -> Timings:
    """Raises InvalidInput where the record has none: a fleet that does not say, or an older version's."""
    path = folder / TIMINGS_FILE
    hint = "record the run again with `statmux bench --record`"
    if not path.exists():
        raise InvalidInput(f"the record has no {TIMINGS_FILE}", where=str(folder), hint=hint)
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        rows = [[float(row[column] or "nan") for column in _COLUMNS] for row in reader]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"not a file of timings: {error}", where=str(path), hint=hint) from None
    if len(rows) != num_requests:
        raise InvalidInput(f"{len(rows)} timings for {num_requests} requests", where=str(path), hint=hint)
    return Timings(*np.array(rows).reshape(-1, len(_COLUMNS)).T)


def _own(folder: Path, name: str, given: Path | None) -> Path:
    """The file that was given, else the record's."""
    if given is not None:
        return given
    if not (folder / name).is_file():
        raise InvalidInput(
            f"the record has no {name}",
            where=str(folder),
            hint=f"name the {name.partition('.')[0]} that ran, or record the run again",
        )
    return folder / name


def _check_models(record: RunRecord, deployment: Deployment) -> None:
    recorded, here = list(record.run["models"]), deployment.model_names
    unknown = [name for name in recorded if name not in here]
    missing = [name for name in here if name not in recorded]
    if unknown or missing:
        words = (
            f"model {unknown[0]!r} of the record is not in the deployment"
            if unknown
            else f"model {missing[0]!r} of the deployment is not in the record"
        )
        raise InvalidInput(
            f"the record is of another fleet, {record.run['fleet']!r}: {words}",
            where=str(record.folder),
            hint=f"the record's models: {', '.join(recorded)}; the deployment's: {', '.join(here)}",
        )


def _placement_of(record: RunRecord, deployment: Deployment) -> Placement:
    from vocabulary.parallel import ParallelConfig
    from vocabulary.placement import Group

    by_id = deployment.cluster.by_id()
    groups = []
    for group in record.run["plan"]["groups"]:
        config, devices = ParallelConfig(group["tensor"], group["pipeline"]), tuple(group["devices"])
        # A device that the fleet no longer has costs what it would anywhere.
        if all(device in by_id for device in devices):
            config = deployment.cluster.located(config, [by_id[device] for device in devices])
        groups.append(Group(group["id"], devices, config, tuple(group["models"])))
    return Placement(tuple(groups))
