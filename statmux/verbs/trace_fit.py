"""`statmux trace fit`: the workloads that a trace looks drawn from, to be put into a deployment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.durations import seconds
from statmux.render import Console, table
from statmux.verbs.trace_options import Columns, TraceFile, column_names
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from simulator.traffic.fit_traffic import ModelFit, TrafficFit

# Digits that a fit of any trace can be sure of.
NUM_DIGITS = 4
# A fitted Gamma process that is this many times calmer than the gaps is no good description of them.
UNLIKE_GAMMA = 1.5
FIGURES = ("num_requests", "rate_rps", "cv", "shape", "moment_cv", "dispersion", "peak_to_mean")


def fit(
    ctx: typer.Context,
    trace: TraceFile,
    columns: Columns = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The YAML file to write; printed without it.", show_default=False),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            "--window", parser=seconds, metavar="TIME", show_default=False,
            help="Fit gaps within windows of this time, so that a drift of the rate is no burstiness.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Fit a rate and a burstiness to each model of a trace, as `workload:` of a deployment.

    The CV is that of the most likely Gamma distribution of the gaps. `statmux plan` without a trace, and
    `statmux trace gen`, draw from what is written here.
    """
    from simulator.traffic.fit_traffic import fit_traffic
    from statmux.inspecting import default_window_s
    from vocabulary.formats.disk import load_trace, write_bytes

    if window == 0:
        raise InvalidInput("a window takes some time", where="--window", hint="as in --window 10m")
    read = load_trace(trace, columns=column_names(columns))
    if read.duration_s <= 0:
        hint = "a rate needs requests at two times"
        raise InvalidInput("all requests come at one instant", where=str(trace), hint=hint)
    fitted = fit_traffic(read, window_s=window or default_window_s(read), is_windowed=window is not None)
    _warn_of_bursts(Console(ctx.obj), fitted)
    text = _yaml(fitted, trace)
    if out is not None:
        write_bytes(out, text.encode())
    document = {**({"out": str(out)} if out else {}), **_document(fitted)}
    Console(ctx.obj).result(document, lambda: text.rstrip("\n") if out is None else _table(document))


def _warn_of_bursts(console: Console, fitted: TrafficFit) -> None:
    """Where the likeliest Gamma distribution is far from the gaps' own CV, plans on it are too hopeful."""
    for name, one in fitted.models.items():
        if one.cv is not None and one.moment_cv is not None and one.moment_cv > UNLIKE_GAMMA * one.cv:
            console.warn(
                f"{name}: gaps have a CV of {one.moment_cv:.3g}, the fit {one.cv:.3g}: rates drift or bursts "
                "last longer than a Gamma process has them; plan on the trace itself"
            )


def _document(fitted: TrafficFit) -> dict[str, Any]:
    models = {name: {**asdict(one), "workload": _workload(one)} for name, one in fitted.models.items()}
    return {
        "exponent": fitted.exponent,
        "window_s": fitted.window_s,
        "tick_s": fitted.tick_s,
        "models": models,
    }


def _workload(fitted: ModelFit) -> dict[str, Any]:
    drawn = fitted.workload
    workload: dict[str, Any] = {"rate_rps": _short(drawn.rate_rps), "cv": _short(drawn.cv)}
    for name, one in (("input_tokens", fitted.input_tokens), ("output_tokens", fitted.output_tokens)):
        if one is not None:
            workload[name] = {key: _short(value) for key, value in asdict(one).items()}
    return workload


def _yaml(fitted: TrafficFit, trace: Path) -> str:
    from vocabulary.formats.yaml_out import format_yaml

    popularity = (
        "" if fitted.exponent is None else f"; popularity: power law of exponent {fitted.exponent:.2f}"
    )
    comments = [f"# Fitted by `statmux trace fit {trace}`{popularity}."]
    for name, one in fitted.models.items():
        known = {key: getattr(one, key) for key in FIGURES if getattr(one, key) is not None}
        shown = ", ".join(f"{key} {_short(value)}" for key, value in known.items())
        comments.append(f"# {name}: {shown}")
    models = [{"name": name, "workload": _workload(one)} for name, one in fitted.models.items()]
    return "\n".join(comments) + "\n" + format_yaml({"models": models})


def _table(document: dict[str, Any]) -> str:
    rows = [(name, *(one[key] for key in FIGURES)) for name, one in document["models"].items()]
    headings = ("model", "requests", "rate /s", "CV", "shape", "CV of moments", "dispersion", "peak/mean")
    lines = [f"wrote {document['out']}", table(headings, rows)]
    if document["exponent"] is not None:
        lines.append(f"popularity: power law of exponent {document['exponent']:.2f}")
    return "\n".join(lines)


def _short(value: float | int) -> float | int:
    return value if isinstance(value, int) else float(f"{value:.{NUM_DIGITS}g}")
