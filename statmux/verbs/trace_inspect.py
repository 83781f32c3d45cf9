"""`statmux trace inspect`: what a trace asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from statmux.durations import seconds
from statmux.render import Console, percent, table
from statmux.verbs.trace_options import Columns, TraceFile, column_names
from statmux.verbs.trace_show import MODELS_SHOWN
from vocabulary.errors import InvalidInput

PICTURES = (".svg", ".png", ".csv")


def inspect(
    ctx: typer.Context,
    trace: TraceFile,
    columns: Columns = None,
    window: Annotated[
        float | None,
        typer.Option(
            "--window", parser=seconds, metavar="TIME", show_default=False,
            help="What counts and CVs are taken in; 60s, less for a short trace.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", show_default=False,
            help="Draw arrivals, CV and lengths: t.svg gives t-arrivals.svg and so on; also .png and .csv.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Count requests, rates and burstiness, in all and per model; popularity and lengths; draw them.

    The CV is of the gaps between arrivals, over all of the trace and as the median of its windows.
    Dispersion is variance / mean of the counts of windows: 1 is Poisson, and it grows with the window where
    rates drift. Peak/mean is the busiest window by the average one.
    """
    from statmux.inspecting import default_window_s, described, figures_of, write_figures_beside
    from vocabulary.formats.disk import load_trace

    if plot is not None and plot.suffix.lower() not in PICTURES:
        hint = f"let the name end in {', '.join(PICTURES)}"
        raise InvalidInput("is no name of a picture", where=f"--plot {plot}", hint=hint)
    if window == 0:
        raise InvalidInput("a window takes some time", where="--window", hint="as in --window 60s")
    read = load_trace(trace, columns=column_names(columns))
    window_s = default_window_s(read) if window is None else window
    document = described(read, window_s=window_s)
    if plot is not None:
        figures = figures_of(read, window_s=window_s)
        if not figures:
            message = f"the trace lasts {read.duration_s:g} s, less than a window of {window_s:g} s"
            raise InvalidInput(message, where="--plot", hint="take a shorter --window")
        document["plots"] = [str(one) for one in write_figures_beside(plot, figures)]
    console = Console(ctx.obj)
    if document["tick_s"] is not None:
        console.hint(f"the clock went in steps of {document['tick_s']:g} s; gaps below that say nothing")
    console.result(document, lambda: _text(document))


def _text(document: dict[str, Any]) -> str:
    parts = [
        f"{document['duration_s']:.3f} s from {document['start_s']:.3f} s, "
        f"in windows of {document['window_s']:.3g} s",
        _models(document),
        *_popularity(document),
        *_tokens(document["tokens"]),
        *(f"wrote {one}" for one in document.get("plots", ())),
    ]
    return "\n".join(parts)


def _models(document: dict[str, Any]) -> str:
    by_rate = sorted(document["models"].items(), key=lambda item: -item[1]["num_requests"])
    keys = ("num_requests", "rate_rps", "cv", "window_cv", "dispersion", "peak_to_mean")
    rows = [("all", *(document[key] for key in keys))]
    rows += [(name, *(one[key] for key in keys)) for name, one in by_rate[:MODELS_SHOWN]]
    headings = ("model", "requests", "rate /s", "gap CV", "CV in windows", "dispersion", "peak/mean")
    text = table(headings, rows)
    if len(by_rate) > MODELS_SHOWN:
        text += f"\n... and {len(by_rate) - MODELS_SHOWN} models more (all of them with -o json)"
    return text


def _popularity(document: dict[str, Any]) -> list[str]:
    popularity = document["popularity"]
    if popularity["exponent"] is None:
        return []
    tops = [f"{percent(share)} for the top {number}" for number, share in popularity["share_of_top"].items()]
    return [f"popularity: power law of exponent {popularity['exponent']:.2f}; {', '.join(tops)}"]


def _tokens(tokens: dict[str, Any] | None) -> list[str]:
    known = {name: one for name, one in (tokens or {}).items() if isinstance(one, dict)}
    if not known:
        return []
    keys = ("mean", "p50", "p90", "p99", "max")
    rows = [(name.replace("_", " "), *(round(one[key], 1) for key in keys)) for name, one in known.items()]
    lines = [table(("lengths", *keys), [(name, *(f"{value:g}" for value in row)) for name, *row in rows])]
    if tokens and "repeated_blocks" in tokens:
        share = percent(tokens["repeated_blocks"])
        lines.append(f"prefixes: {share} of the blocks of {tokens['block_tokens']} tokens came before")
    return lines
