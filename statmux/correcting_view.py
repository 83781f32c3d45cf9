"""`statmux profile --correct-from RUN`: writes what a run showed of the profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from statmux.correcting import Learned, corrected_profiles, learned
from statmux.recording import read_recorded, read_timings
from statmux.render import Console, table
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import write_profile


def correct(
    console: Console,
    deployment: Path,
    models: Sequence[str],
    *,
    run: Path,
    out: Path | None,
    overrides: Sequence[str],
) -> None:
    """Of the named models, or all. The profiles of `deployment` are corrected, whatever the record has."""
    recorded = read_recorded(run, deployment=deployment, overrides=tuple(overrides))
    read = recorded.deployment
    for name in models:
        if name not in read.model_names:
            raise InvalidInput(
                f"no model {name!r} in the deployment", hint=f"models: {', '.join(read.model_names)}"
            )
    found = learned(recorded, read_timings(run, len(recorded.measured.trace)))
    profiles = {
        name: one for name, one in corrected_profiles(recorded, found).items() if name in models or not models
    }
    if not profiles:
        raise InvalidInput(
            f"too few lone requests to learn from: {', '.join(models)}",
            where=str(run),
            hint="record a longer run, or one with less traffic",
        )
    _check_one_type(read, list(profiles))
    targets = _targets(read, list(profiles), out)
    for name, one in profiles.items():
        write_profile(targets[name], one)
    without = [name for name in models or read.model_names if name not in profiles]
    if without:
        console.warn(f"too few lone requests to learn from: {', '.join(without)}; left as they were")
    document = _document(found, targets)
    console.result(document, lambda: _table(document))


def _check_one_type(deployment: Deployment, names: Sequence[str]) -> None:
    for name in names:
        types = list(deployment.model(name).profile_paths)
        if types:
            raise InvalidInput(
                f"{name} has a profile for each of {', '.join(types)}, and a run corrects one",
                hint="record a run of the hosts of one type alone, with a deployment that has only these",
            )


def _targets(deployment: Deployment, names: Sequence[str], out: Path | None) -> dict[str, Path]:
    if out is not None:
        return {name: out / f"{name}.json" for name in names}
    targets: dict[str, Path] = {}
    for name in names:
        path = deployment.model(name).profile_path
        sharing = [one.name for one in deployment.models if one.profile_path == path]
        if path is None or len(sharing) > 1:
            raise InvalidInput(
                f"{' and '.join(sharing[:2])} share the profile {path}, and differ now",
                hint="give --out FOLDER, and name the new files in the deployment",
            )
        targets[name] = Path(deployment.folder) / path
    return targets


def _document(found: Learned, targets: Mapping[str, Path]) -> dict[str, Any]:
    return {
        **asdict(found.overhead),
        "profiles": {
            name: {
                "file": str(path),
                "corrections": [
                    {
                        "tensor": config.tensor,
                        "pipeline": config.pipeline,
                        "factor": one.factor,
                        "num_samples": one.num_samples,
                    }
                    for config, one in found.corrections[name].items()
                ],
            }
            for name, path in targets.items()
        },
    }


def _table(document: dict[str, Any]) -> str:
    rows = [
        [name, one["tensor"], one["pipeline"], one["num_samples"], f"{one['factor']:.4f}"]
        for name, profile in document["profiles"].items()
        for one in profile["corrections"]
    ]
    overhead_s = document["fixed_overhead_s"]
    return "\n".join([
        table(["model", "tensor", "pipeline", "lone batches", "observed / profiled"], rows),
        "",
        *[f"wrote {profile['file']}" for profile in document["profiles"].values()],
        f"fixed overhead {overhead_s * 1e3:.3f} ms (quartiles {document['lower_quartile_s'] * 1e3:.3f} to "
        f"{document['upper_quartile_s'] * 1e3:.3f}, {document['num_requests']} requests); use it: "
        f"--set simulation.fixed_overhead_s={max(overhead_s, 0.0):.6f}",
    ])  # fmt: skip
