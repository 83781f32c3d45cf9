"""`statmux status`: groups, models and attainment of a running fleet."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from statmux.durations import seconds
from statmux.render import Console, milliseconds, percent, table
from vocabulary.errors import TimedOut, Unreachable

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_ASK_TIMEOUT_S = 5.0
_POLL_S = 0.2
_WATCH_S = 2.0
# The last two: observed over predicted finish, and lone batches over their profile (1.1: a tenth slower).
_MODEL_HEADINGS = (
    "model", "engine", "state", "served", "not served", "attainment", "mean", "of predicted", "of profile",
)  # fmt: skip


class WaitFor(StrEnum):
    READY = "ready"


@app.command()
def status(
    ctx: typer.Context,
    fleet: Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)] = None,
    wait: Annotated[WaitFor | None, typer.Option(help="Return when it is so.", show_default=False)] = None,
    timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How long to wait at most.")
    ] = "120s",  # type: ignore[assignment]
    watch: Annotated[bool, typer.Option("--watch", help="Print again every 2 s, until Ctrl-C.")] = False,
) -> None:
    """Ask a fleet, through its control socket in this folder, how it is doing."""
    console = Console(ctx.obj)
    _show(console, _ask(fleet) if wait is None else _wait_ready(fleet, timeout, console))
    while watch:
        time.sleep(_WATCH_S)
        _show(console, _ask(fleet))


def _show(console: Console, document: dict[str, Any]) -> None:
    console.result(document, lambda: _table(document))


def _ask(fleet: str | None) -> dict[str, Any]:
    from controller.control import ask
    from statmux.fleets import control_socket

    return ask(control_socket(fleet), "status", timeout_s=_ASK_TIMEOUT_S)


def _wait_ready(fleet: str | None, timeout_s: float, console: Console) -> dict[str, Any]:
    """Also waits for the fleet to appear: `serve` in the background takes a moment to open its socket."""
    end_s = time.monotonic() + timeout_s
    with console.progress("waiting for the fleet") as progress:
        while True:
            try:
                document = _ask(fleet)
                if document["is_ready"]:
                    return document
                progress.step(0, note=document["state"])
            except Unreachable:
                progress.step(0, note="not there yet")
            if time.monotonic() > end_s:
                raise TimedOut(
                    f"the fleet was not ready within {timeout_s:g} s", hint="see the log of `serve`"
                )
            time.sleep(_POLL_S)


def _table(document: dict[str, Any]) -> str:
    groups = [
        [
            group["id"], group["devices"][0], len(group["devices"]), group["tensor"], group["pipeline"],
            "open" if group["is_open"] else "closed", group["in_flight"], group["waiting"],
            percent(max(group["stage_utilisation"], default=0.0)), ", ".join(group["models"]),
        ]
        for group in document["groups"]
    ]  # fmt: skip
    models = [
        [
            name, one["engine"], one["state"], one["num_served"], one["num_failed"],
            percent(one["slo_attainment"]), milliseconds(one["mean_latency_s"]),
            one["prediction_error_ratio"], _stage_ratio(one["stage_time_ratio"]),
        ]
        for name, one in document["models"].items()
    ]  # fmt: skip
    engines = f" ({' and '.join(document['engines'])})" if "emulated" in document["engines"] else ""
    lines = [
        f"{document['fleet']} is {document['state']}{engines}, up {document['uptime_s']:.0f} s, "
        f"{document['num_pending']} requests in flight, {_endpoints(document['endpoints'])}",
        "",
        table(
            [
                "group",
                "from",
                "devices",
                "tensor",
                "pipeline",
                "state",
                "in flight",
                "waiting",
                "busiest",
                "models",
            ],
            groups,
            left=2,
        ),
        "",
        table(_MODEL_HEADINGS, models, left=3),
    ]
    return "\n".join(lines)


def _endpoints(addresses: dict[str, str]) -> str:
    http = f", HTTP http://{addresses['http']}/v1" if "http" in addresses else ""
    return f"gRPC {addresses['grpc']}{http}"


def _stage_ratio(by_group: dict[str, dict[str, float]]) -> str | None:
    """Over the groups that hold the model, from the least to the most."""
    ratios = sorted(one["ratio"] for one in by_group.values())
    if not ratios:
        return None
    low, high = f"{ratios[0]:.2f}", f"{ratios[-1]:.2f}"
    return low if low == high else f"{low} to {high}"
