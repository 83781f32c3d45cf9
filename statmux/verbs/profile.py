"""`statmux profile`: what models cost, measured here, estimated, completed, corrected or imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from statmux.profiling.ways import chosen_way, refuse_unheeded
from statmux.render import Console
from statmux.verbs import profile_options as options
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from statmux.profiling.estimating import Wanted
    from vocabulary.deployment import Deployment
    from vocabulary.profile import Profile

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def profile(
    ctx: typer.Context,
    deployment: options.Deployment = None,
    models: options.Models = None,
    out: options.Out = None,
    rounds: options.Rounds = 15,
    correct_from: options.CorrectFrom = None,
    estimate: options.Estimate = False,
    complete: options.Complete = None,
    import_alpa: options.ImportAlpa = None,
    model: options.Model = None,
    name: options.Name = None,
    device_type: options.DeviceType = None,
    dtype: options.Dtype = None,
    tensor: options.Tensor = "1",
    pipeline: options.Pipeline = "1",
    batch_sizes: options.BatchSizes = "1",
    sequence_length: options.SequenceLength = None,
    generate: options.Generate = False,
) -> None:
    """Measure stage latencies and memory of every (tensor, pipeline) that the deployment allows.

    With --estimate, --complete or --import-alpa nothing is measured, and no device is needed.
    """
    console = Console(ctx.obj)
    way = chosen_way(
        correct=correct_from is not None,
        estimate=estimate,
        complete=complete is not None,
        import_alpa=import_alpa is not None,
        model=model is not None,
    )
    refuse_unheeded(way, ctx)
    wanted = None
    if estimate or complete is not None:
        wanted = _wanted(
            device_type=device_type,
            dtype=dtype,
            tensor=tensor,
            pipeline=pipeline,
            batch_sizes=batch_sizes,
            sequence_length=sequence_length,
            generates=generate,
        )
    if import_alpa is not None:
        _import_alpa(console, import_alpa, device_type=device_type, sequence_length=sequence_length, out=out)
    elif wanted is not None and (complete is not None or model is not None):
        _estimate_one(console, wanted, complete=complete, model=model, name=name, out=out)
    elif deployment is None:
        raise InvalidInput(
            "no deployment to profile",
            hint="statmux profile deployment.yaml, or --estimate --model MODEL, --complete, --import-alpa",
        )
    elif correct_from is not None:
        from statmux.correcting_view import correct

        correct(console, deployment, models or [], run=correct_from, out=out, overrides=ctx.obj.overrides)
    else:
        read = _read(deployment, ctx.obj.overrides)
        _profile_models(console, read, models or [], out=out, num_rounds=rounds, wanted=wanted)


def _read(deployment: Path, overrides: Sequence[str]) -> Deployment:
    from vocabulary.formats.disk import load_deployment

    return load_deployment(deployment, overrides=overrides, needs_profiles=False)


def _profile_models(
    console: Console,
    read: Deployment,
    names: Sequence[str],
    *,
    out: Path | None,
    num_rounds: int,
    wanted: Wanted | None,
) -> None:
    """Every chosen model, measured, or estimated when that is `wanted`."""
    from statmux.profiling import measuring
    from vocabulary.formats.disk import write_profile

    chosen = measuring.chosen_models(read, names)
    targets = {one.name: measuring.target_of(one, read, out) for one in chosen}
    if wanted is None:
        measuring.prepare_jax(read.cluster.nodes[0])
    found: dict[str, Profile] = {}
    with console.progress("profiling", total=len(chosen)) as progress:
        for number, one in enumerate(chosen):
            progress.step(number, note=one.name)
            if wanted is None:
                found[one.name] = measuring.measured_profile(
                    one,
                    read,
                    num_rounds=num_rounds,
                    progress=lambda note, number=number: progress.step(number, note=note),
                )
            else:
                from statmux.profiling.estimating import estimated_of_deployment

                found[one.name] = estimated_of_deployment(one, read, wanted)
            write_profile(targets[one.name], found[one.name])
        progress.step(len(chosen))
    _show(console, found, targets)


def _estimate_one(
    console: Console,
    wanted: Wanted,
    *,
    complete: Path | None,
    model: str | None,
    name: str | None,
    out: Path | None,
) -> None:
    from statmux.profiling.estimating import completed_profile, estimated_model
    from statmux.profiling.shapes import name_of_model
    from vocabulary.formats.disk import load_profile, write_profile

    if model is None:
        raise InvalidInput("--complete needs the model's shape", hint="give --model, like the model's folder")
    if name is not None and Path(name).name != name:
        hint = "write it without slashes; --out says where the file goes"
        raise InvalidInput(f"{name!r} is no name of a model", where="--name", hint=hint)
    if complete is None:
        found = estimated_model(name or name_of_model(model), model, wanted)
        target = _file(out, found.model)
    else:
        found = completed_profile(load_profile(complete), model, wanted)
        target = complete if out is None else _file(out, found.model)
    write_profile(target, found)
    _show(console, {found.model: found}, {found.model: target})


def _import_alpa(
    console: Console,
    file: Path,
    *,
    device_type: str | None,
    sequence_length: int | None,
    out: Path | None,
) -> None:
    from vocabulary.formats.disk import read_text, write_profile
    from vocabulary.formats.importers.alpa import read_alpa

    if device_type is None or out is None:
        raise InvalidInput(
            "Alpa's files say neither the devices nor where profiles go",
            hint="give --device-type, like v100-16g, and --out FOLDER",
        )
    read = read_alpa(
        read_text(file), name=str(file), device_type=device_type, sequence_length=sequence_length
    )
    found = {one.model: one for one in read.profiles}
    targets = {name: out / f"{name}.json" for name in found}
    for name, one in found.items():
        write_profile(targets[name], one)
    for why, count in read.left_out.items():
        console.warn(f"{count} rows left out: {why}")
    _show(console, found, targets)


def _wanted(*, tensor: str, pipeline: str, batch_sizes: str, **said: Any) -> Wanted:
    """Lists as they stand on the command line, the rest as `Wanted` has it."""
    from statmux.profiling.estimating import Wanted, whole_numbers

    return Wanted(
        tensor=whole_numbers(tensor, "--tensor"),
        pipeline=whole_numbers(pipeline, "--pipeline"),
        batch_sizes=whole_numbers(batch_sizes, "--batch-sizes"),
        **said,
    )


def _file(out: Path | None, model: str) -> Path:
    """A .json file is meant as it is; anything else is a folder."""
    if out is not None and out.suffix == ".json":
        return out
    return (out or Path()) / f"{model}.json"


def _show(console: Console, found: dict[str, Profile], targets: dict[str, Path]) -> None:
    from statmux.profiling.view import document_of, table_of

    document = {name: document_of(found[name], targets[name]) for name in found}
    console.result({"profiles": document}, lambda: table_of(found, targets))
