"""`statmux trace VERB`: traces in, traces out. Each verb has a file; here they get their names."""

from __future__ import annotations

import typer

from statmux.verbs.trace_convert import convert
from statmux.verbs.trace_fit import fit
from statmux.verbs.trace_gen import generate
from statmux.verbs.trace_import import import_trace
from statmux.verbs.trace_inspect import inspect
from statmux.verbs.trace_resample import resample

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Inspect, convert, import, fit, generate or resample traces.",
)

app.command("inspect")(inspect)
app.command("convert")(convert)
app.command("import")(import_trace)
app.command("gen")(generate)
app.command("fit")(fit)
app.command("resample")(resample)
