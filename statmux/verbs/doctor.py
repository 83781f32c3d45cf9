"""`statmux doctor [FILE]`: whether a fleet would start here, and what would go wrong later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console, table

if TYPE_CHECKING:
    from statmux.doctoring.finding import Finding

app = typer.Typer(add_completion=False, rich_markup_mode=None)
FOUND_BAD_EXIT_CODE = 1


@app.command()
def doctor(
    ctx: typer.Context,
    deployment: Annotated[
        Path | None, typer.Argument(help="Look at what it asks for, too.", show_default=False)
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Also start a Ray and end it: seconds.")] = False,
) -> None:
    """Look at devices, ports, versions, disk, limits, leftovers and the clock. Exits with 1 if one is bad."""
    from statmux.doctoring.finding import Level

    console = Console(ctx.obj)
    found = list(_findings(deployment, has_ray=ray))
    counts = {level: sum(one.level is level for one in found) for level in Level}
    document = {"is_well": not counts[Level.BAD], "findings": [_document(one) for one in found]}
    console.result(document, lambda: _table(found))
    summary = ", ".join(f"{number} {level.value}" for level, number in counts.items() if number)
    console.say(summary)
    if counts[Level.BAD]:
        raise typer.Exit(FOUND_BAD_EXIT_CODE)


def _findings(path: Path | None, *, has_ray: bool) -> Iterator[Finding]:
    from statmux.doctoring.devices import device_findings
    from statmux.doctoring.fleets import deployment_findings, endpoints, ports_of_fleets
    from statmux.doctoring.leftovers import fleet_findings, machine_leftovers
    from statmux.doctoring.machine import machine_findings
    from statmux.doctoring.network import port_findings
    from statmux.doctoring.ray import ray_finding
    from statmux.doctoring.software import software_findings
    from statmux.doctoring.tracing import tracing_findings

    here = Path()
    yield from software_findings()
    yield from machine_findings(here)
    read = None
    if path is not None:
        read, found = deployment_findings(path)
        yield from found
    yield from device_findings(read)
    yield from port_findings(endpoints(read), taken_by=ports_of_fleets(here))
    yield from tracing_findings(read)
    yield from fleet_findings(here)
    yield from machine_leftovers()
    if has_ray:
        yield ray_finding()


def _document(finding: Finding) -> dict[str, Any]:
    return {
        "topic": finding.topic,
        "level": finding.level.value,
        "words": finding.words,
        "remedy": finding.remedy,
    }


def _table(found: list[Finding]) -> str:
    lines = [table(("", "", ""), [(one.level.value, one.topic, one.words) for one in found], left=3)]
    shown = lines[0].splitlines()[1:]
    told = []
    for line, finding in zip(shown, found, strict=True):
        told.append(line)
        if finding.remedy:
            told.append(f"      -> {finding.remedy}")
    return "\n".join(told)
