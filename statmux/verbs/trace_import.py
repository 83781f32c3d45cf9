"""`statmux trace import`: traces from elsewhere, written as ours."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from statmux.render import Console
from statmux.verbs import trace_import_options as options
from statmux.verbs.trace_import_options import TraceFormat, Unit
from statmux.verbs.trace_options import Columns, Out, column_names, names_in
from statmux.verbs.trace_show import show_trace
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from statmux.importing import ImportedTrace
    from vocabulary.trace import Trace

UNITS_PER_S = {Unit.S: 1.0, Unit.MS: 1e3, Unit.US: 1e6, Unit.NS: 1e9}
PLAIN = (None, TraceFormat.CSV, TraceFormat.JSONL, TraceFormat.PARQUET)
# Formats that hold counts of a window and do not say how requests lie in it.
COUNTED = (TraceFormat.AZURE_FUNCTIONS_2019, TraceFormat.ALPASERVE)
DEALS = ("round_robin", "stripe")


def import_trace(
    ctx: typer.Context,
    traces: options.Traces,
    out: Out,
    format_: options.Format = None,
    columns: Columns = None,
    model: options.Model = None,
    deal: options.Deal = None,
    models: options.Models = None,
    unit: options.TimeUnit = Unit.S,
    start: options.Start = 0.0,
    duration: options.Duration = None,
    from_zero: options.FromZero = False,
    skip_bad: options.SkipBad = False,
    seed: options.Seed = 0,
    cv: options.Cv = None,
    rate: options.Rate = None,
    think: options.Think = 30.0,
) -> None:
    """Read a trace from elsewhere and write it as ours: in seconds, sorted, with token counts where known.

    Counts of windows and conversations without times get arrivals that are drawn, by --seed. With --map,
    function i of the file becomes --models[i mod M] (round_robin) or a block of functions each (stripe), in
    the order of the file and without functions that are never invoked; of a file that names no models, the
    requests are dealt out.
    """
    from statmux.importing import Drawing, Mapped, Plain, import_plain, import_published
    from vocabulary.formats.disk import write_trace

    mapping = Mapped(model, deal, names_in(models))
    _check_mapping(model, deal, mapping.models)
    _check_out(traces, out)
    part_s = (start, math.inf if duration is None else start + duration)
    if format_ in PLAIN:
        _check_plain(traces, cv, rate)
        plain = Plain(column_names(columns), UNITS_PER_S[unit], None if format_ is None else format_.value)
        read = import_plain(traces[0], plain=plain, mapping=mapping, part_s=part_s, skips_bad=skip_bad)
    else:
        _check_published(format_, columns, unit, cv, rate)
        drawing = Drawing(seed, 1.0 if cv is None else cv, rate, think)
        read = import_published(
            format_.value, traces, mapping=mapping, drawing=drawing, part_s=part_s, skips_bad=skip_bad
        )
    trace = _from_zero(read.trace) if from_zero else read.trace
    write_trace(out, trace)
    _say(Console(ctx.obj), read, out, seed)
    more = {"skipped": read.skipped.num_rows, "is_drawn": read.is_drawn, "is_estimated": read.is_estimated}
    show_trace(ctx, trace, out=out, more=more)


def _from_zero(trace: Trace) -> Trace:
    return replace(trace, arrival_s=trace.arrival_s - trace.arrival_s[0])


def _check_mapping(model: str | None, deal: str | None, models: tuple[str, ...]) -> None:
    if model is not None and deal is not None:
        raise InvalidInput("--model and --map exclude each other", hint="keep one of them")
    if deal in DEALS and not models:
        hint = "as in --map round_robin --models a,b,c"
        raise InvalidInput("--map and --models need each other", hint=hint)
    if deal is not None and deal not in DEALS and not Path(deal).exists():
        hint = f"write {', '.join(DEALS)}, or a CSV file of lines function,model"
        raise InvalidInput(f"{deal!r} is no way to map", where="--map", hint=hint)
    if len(set(models)) < len(models):
        twice = next(name for name in models if models.count(name) > 1)
        raise InvalidInput(f"{twice!r} is named twice", where="--models", hint="name each model once")
    if model is not None and models:
        raise InvalidInput("--model and --models exclude each other", hint="keep one of them")


def _check_out(traces: list[Path], out: Path) -> None:
    """What is imported is the only copy of much that a trace of ours has no place for."""
    if any(out.exists() and one.exists() and out.samefile(one) for one in traces):
        raise InvalidInput("this is the file to read", where="--out", hint="write to another file")


def _check_plain(traces: list[Path], cv: float | None, rate: float | None) -> None:
    if len(traces) > 1:
        raise InvalidInput("one trace at a time", where=str(traces[1]), hint="import each by itself")
    for flag, value in (("--cv", cv), ("--rate", rate)):
        if value is not None:
            hint = "the file has its arrival times; change them with `statmux trace resample`"
            raise InvalidInput("is only for formats without arrival times", where=flag, hint=hint)


def _check_published(
    format_: TraceFormat, columns: str | None, unit: Unit, cv: float | None, rate: float | None
) -> None:
    for flag, is_given in (("--columns", columns is not None), ("--unit", unit is not Unit.S)):
        if is_given:
            message = f"the columns and units of {format_} are known"
            raise InvalidInput(message, where=flag, hint=f"leave out {flag}, or --format")
    if rate is not None and format_ is not TraceFormat.LMSYS_CHAT_1M:
        message = f"{format_} has its rates"
        raise InvalidInput(message, where="--rate", hint="change them with `statmux trace resample`")
    if rate is not None and not 0 < rate < math.inf:
        raise InvalidInput(f"{rate} is no rate", where="--rate", hint="requests a second, more than 0")
    if cv is not None and format_ not in COUNTED:
        hint = "change it with `statmux trace resample`"
        raise InvalidInput(f"{format_} has its burstiness", where="--cv", hint=hint)


def _say(console: Console, read: ImportedTrace, out: Path, seed: int) -> None:
    if read.skipped.num_rows:
        rows = "row" if read.skipped.num_rows == 1 else "rows"
        console.warn(f"skipped {read.skipped.num_rows} bad {rows}; the first: {read.skipped.first}")
    if read.is_drawn:
        console.hint(f"arrivals are drawn (--seed {seed}): the file has only how many there were")
    if read.is_estimated:
        console.hint("token counts are estimated, at four bytes of text a token")
    tokens = read.trace.tokens
    if tokens is not None and tokens.prefix_hashes is not None and ".csv" in out.name.lower():
        console.warn("CSV holds no lists; left out: prefix_hashes")
