"""`statmux validate FILE`: is this deployment well formed, and does a plan fit it? Offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from vocabulary.deployment import Deployment

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def validate(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    plan: Annotated[Path | None, typer.Option(help="A plan that must fit it.", show_default=False)] = None,
    trace: Annotated[
        Path | None, typer.Option(help="A trace of its models to check.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """Check a deployment, and a plan and a trace of it, without starting anything."""
    from placement.constraints import Constraints
    from vocabulary.fit import check_fit
    from vocabulary.formats.disk import load_deployment, load_plan, load_traffic
    from vocabulary.page_budget import generation_limits

    console = Console(ctx.obj)
    read = load_deployment(deployment, overrides=ctx.obj.overrides, needs_profiles=False)
    broken: tuple[str, ...] = ()
    if plan is not None:
        placement = load_plan(plan, deployment=read).placement
        check_fit(placement, read)
        for group in placement.groups:  # caches have to fit beside the weights
            generation_limits(group, read)
        broken = Constraints(read).violations(placement)
    if trace is not None:
        load_traffic(trace, read)
    warnings = [*read.warnings, *_exposure(read), *(f"the plan breaks a rule: {one}" for one in broken)]
    warnings += [f"{key} has no effect in this version" for key in read.accepted_only]
    for warning in warnings:
        console.warn(warning)
    if warnings and strict:
        hint = "settle the warnings above, or leave out --strict"
        raise InvalidInput(f"{len(warnings)} warnings, and --strict", where=str(deployment), hint=hint)
    document = _document(read, warnings)
    console.result(document, lambda: _table(document))


def _exposure(deployment: Deployment) -> list[str]:
    from vocabulary.exposure import check_exposure

    try:
        check_exposure(deployment)
    except InvalidInput as error:
        return [f"`statmux serve` will refuse it: {error}"]
    return []


def _document(deployment: Deployment, warnings: list[str]) -> dict[str, Any]:
    return {
        "valid": True,
        "name": deployment.name,
        "num_models": len(deployment.models),
        "num_devices": deployment.cluster.num_devices,
        "warnings": warnings,
        "no_effect": list(deployment.accepted_only),
    }


def _table(document: dict[str, Any]) -> str:
    num_warnings = len(document["warnings"])
    end = f" ({num_warnings} warning{'s' * (num_warnings > 1)})" if num_warnings else ""
    sizes = f"{document['num_models']} models, {document['num_devices']} devices"
    return f"{document['name']} is valid: {sizes}{end}"
