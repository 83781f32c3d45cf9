"""`statmux trace inspect`: what a trace asks for."""

from __future__ import annotations

import typer

from statmux.verbs.trace_options import Columns, TraceFile, column_names
from statmux.verbs.trace_show import show_trace


def inspect(ctx: typer.Context, trace: TraceFile, columns: Columns = None) -> None:
    """Count requests, rates and burstiness, in all and per model."""
    from vocabulary.formats.disk import load_trace

    show_trace(ctx, load_trace(trace, columns=column_names(columns)))
