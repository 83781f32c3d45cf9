"""`statmux profile FILE [MODEL...]`: measure what models cost here, into the profiles that FILE names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console, milliseconds, table
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from vocabulary.deployment import Deployment, ModelSpec
    from vocabulary.mesh import NodeClass
    from vocabulary.parallel import ParallelConfig
    from vocabulary.profile import Profile

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_POWERS = (1, 2, 4, 8)


@app.command()
def profile(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    models: Annotated[
        list[str] | None, typer.Argument(help="All that have a source, if none is named.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the profiles; else where the deployment says.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Timed runs of each stage and batch size.", min=3)] = 15,
    correct_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Measure nothing: correct the profiles by a run from `bench --record`.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure stage latencies and memory of every (tensor, pipeline) that the deployment allows."""
    from vocabulary.formats.disk import load_deployment, write_profile

    console = Console(ctx.obj)
    if correct_from is not None:
        from statmux.correcting_view import correct

        correct(console, deployment, models or [], run=correct_from, out=out, overrides=ctx.obj.overrides)
        return
    read = load_deployment(deployment, overrides=ctx.obj.overrides, needs_profiles=False)
    chosen = _chosen(read, models or [])
    targets = {model.name: _target(model, read, out) for model in chosen}
    node = read.cluster.nodes[0]
    _prepare_jax(node)
    found: dict[str, Profile] = {}
    with console.progress("profiling", total=len(chosen)) as progress:
        for number, model in enumerate(chosen):
            progress.step(number, note=model.name)
            found[model.name] = _measure(
                model, read, node, rounds, lambda note, number=number: progress.step(number, note=note)
            )
            write_profile(targets[model.name], found[model.name])
        progress.step(len(chosen))
    document = {name: _figures(found[name], targets[name]) for name in found}
    console.result({"profiles": document}, lambda: _table(found, targets))


def _chosen(deployment: Deployment, names: Sequence[str]) -> list[ModelSpec]:
    unknown = [name for name in names if name not in deployment.model_names]
    if unknown:
        raise InvalidInput(
            f"no model {unknown[0]!r} in the deployment", hint=f"models: {', '.join(deployment.model_names)}"
        )
    chosen = [model for model in deployment.models if model.name in names or not names]
    without = [model.name for model in chosen if model.source is None]
    if without and names:
        raise InvalidInput(f"model {without[0]} has no source to measure", hint="add `source:` to it")
    chosen = [model for model in chosen if model.source is not None]
    if not chosen:
        raise InvalidInput("no model of the deployment has a source to measure", hint="add `source:` to one")
    return chosen


def _target(model: ModelSpec, deployment: Deployment, out: Path | None) -> Path:
    if out is not None:
        return out / f"{model.name}.json"
    if model.profile_path is None:
        raise InvalidInput(
            f"model {model.name} does not say where its profile is",
            hint=f"add `profile: profiles/{model.name}.json` to it, or give --out FOLDER",
        )
    return Path(deployment.folder) / model.profile_path


def _prepare_jax(node: NodeClass) -> None:
    """Virtual CPU devices must be asked for before jax is imported."""
    if "cpu" in node.device_type.lower():
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["JAX_NUM_CPU_DEVICES"] = str(node.devices_per_host)


def _measure(
    model: ModelSpec,
    deployment: Deployment,
    node: NodeClass,
    rounds: int,
    progress: Callable[[str], None],
) -> Profile:
    from workers.profiler import Effort, profile_model

    return profile_model(
        model,
        device_type=node.device_type,
        configs=_configs(model, node),
        source_folder=Path(deployment.folder).resolve(),
        effort=Effort(num_rounds=rounds),
        progress=progress,
    )


def _configs(model: ModelSpec, node: NodeClass) -> list[ParallelConfig]:
    """Every allowed (tensor, pipeline) that fits one host; powers of two where the file does not say."""
    from vocabulary.parallel import ParallelConfig

    split = model.parallelism
    configs = [
        ParallelConfig(tensor, pipeline)
        for tensor in split.tensor or _POWERS
        for pipeline in split.pipeline or _POWERS
    ]
    most = min(split.max_devices or node.devices_per_host, node.devices_per_host)
    fitting = [config for config in configs if config.num_devices <= most]
    if not fitting:
        raise InvalidInput(
            f"model {model.name} allows no (tensor, pipeline) of at most {most} devices",
            hint="allow smaller values under its `parallelism`",
        )
    return fitting


def _figures(profile: Profile, path: Path) -> dict[str, Any]:
    entries = [
        {
            "tensor": config.tensor,
            "pipeline": config.pipeline,
            "latency_s": sum(entry.stage_latency_s[1]),
            "stage_latency_s": entry.stage_latency_s[1],
            "weight_bytes": entry.weight_bytes,
        }
        for config, entry in profile.entries.items()
    ]
    return {"file": str(path), "entries": entries}


def _table(found: dict[str, Profile], targets: dict[str, Path]) -> str:
    rows = [
        [
            name, config.tensor, config.pipeline, milliseconds(sum(entry.stage_latency_s[1])),
            milliseconds(max(entry.stage_latency_s[1])), f"{max(entry.weight_bytes) / 2**20:.1f}",
        ]
        for name, one in found.items()
        for config, entry in one.entries.items()
    ]  # fmt: skip
    written = "\n".join(f"wrote {path}" for path in targets.values())
    headings = ["model", "tensor", "pipeline", "latency", "slowest stage", "MiB a device"]
    return f"{table(headings, rows)}\n\n{written}"
