"""`statmux trace import`: traces from elsewhere, written as ours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statmux.verbs.trace_options import Columns, Out, TraceFile, column_names, names_in
from statmux.verbs.trace_show import show_trace
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from vocabulary.trace import Trace


class Unit(StrEnum):
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


class Dealing(StrEnum):
    ROUND_ROBIN = "round_robin"
    STRIPE = "stripe"


UNITS_PER_S = {Unit.S: 1.0, Unit.MS: 1e3, Unit.US: 1e6, Unit.NS: 1e9}


def import_trace(
    ctx: typer.Context,
    trace: TraceFile,
    out: Out,
    columns: Columns = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Every request is for this model.", show_default=False)
    ] = None,
    deal: Annotated[
        Dealing | None,
        typer.Option("--map", help="How the trace's models become --models.", show_default=False),
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="Our models, for --map: a,b,c.", show_default=False)
    ] = None,
    unit: Annotated[Unit, typer.Option("--unit", help="What timestamps count.")] = Unit.S,
    from_zero: Annotated[
        bool, typer.Option("--from-zero", help="Shift timestamps so that the first request is at 0.")
    ] = False,
) -> None:
    """Read a trace from elsewhere, whatever its columns are called, and write it as ours, sorted by time.

    With --map, model i of the file (by first arrival) becomes --models[i mod M], or a block of them; a file
    without a model column has its requests dealt instead.
    """
    if model is not None and deal is not None:
        raise InvalidInput("--model and --map exclude each other", hint="keep one of them")
    if (deal is None) != (models is None):
        raise InvalidInput(
            "--map and --models need each other", hint="as in --map round_robin --models a,b,c"
        )
    read = _imported(trace, column_names(columns), model=model, deal=deal, models=names_in(models))
    read = _in_seconds(read, unit, from_zero=from_zero)
    from vocabulary.formats.disk import write_trace

    write_trace(out, read)
    show_trace(ctx, read, out=out)


def _imported(
    path: Path, columns: dict[str, str], *, model: str | None, deal: Dealing | None, models: tuple[str, ...]
) -> Trace:
    from vocabulary.formats.disk import load_trace, read_bytes
    from vocabulary.formats.trace import trace_columns
    from vocabulary.traffic import dealt_in_stripes, dealt_round_robin

    if deal is None:
        return load_trace(path, columns=columns, only_model=model, in_order=False)
    has_models = columns.get("model", "model") in trace_columns(read_bytes(path), name=str(path))
    only_model = None if has_models else models[0]
    read = load_trace(path, columns=columns, only_model=only_model, in_order=False)
    deals = {Dealing.ROUND_ROBIN: dealt_round_robin, Dealing.STRIPE: dealt_in_stripes}
    return deals[deal](read, models, by_request=not has_models)


def _in_seconds(trace: Trace, unit: Unit, *, from_zero: bool) -> Trace:
    from vocabulary.trace import Trace

    start = trace.arrival_s[0] if from_zero else 0.0
    return Trace((trace.arrival_s - start) / UNITS_PER_S[unit], trace.model_index, trace.models)
