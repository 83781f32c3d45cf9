"""`statmux trace resample`: other arrivals like a trace's, with its rates and burstiness scaled."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statmux.durations import seconds
from statmux.verbs.trace_import_options import Deal, Duration, Models, Start
from statmux.verbs.trace_options import Columns, Out, TraceFile, column_names, names_in
from statmux.verbs.trace_resample_options import Method
from statmux.verbs.trace_show import show_trace
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from vocabulary.trace import Trace

WINDOW_S = 60.0


def resample(
    ctx: typer.Context,
    trace: TraceFile,
    out: Out,
    columns: Columns = None,
    start: Start = 0.0,
    duration: Duration = None,
    deal: Deal = None,
    models: Models = None,
    rate_scale: Annotated[float, typer.Option("--rate-scale", help="Multiplies the rates.")] = 1.0,
    cv_scale: Annotated[float, typer.Option("--cv-scale", help="Multiplies the CV of the gaps.")] = 1.0,
    window: Annotated[
        float | None,
        typer.Option(
            "--window", parser=seconds, metavar="TIME", show_default="60s",
            help="How long a rate and a burstiness last.",
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option("--method", help="published: as AlpaServe's artifact draws, bias included.")
    ] = Method.UNBIASED,
    seed: Annotated[int, typer.Option("--seed", min=0, help="One seed gives one trace, on any machine.")] = 0,
    time_scale: Annotated[
        float | None,
        typer.Option(
            "--time-scale", show_default=False, help="Draws nothing: the same requests in 1/X of the time."
        ),
    ] = None,
) -> None:  # fmt: skip
    """Draw other arrivals with the rates and the burstiness of a trace, scaled.

    Each window of each model becomes a Gamma process fitted to its gaps (AlpaServe, section 6.2). Token
    counts and prefixes come along in their order. --start and --duration cut, and --map maps models, before.
    """
    from vocabulary.formats.disk import load_trace, write_trace

    read = load_trace(trace, columns=column_names(columns))
    read = _mapped(_cut(read, start, duration), deal, names_in(models))
    if time_scale is not None:
        drawn = _hastened(read, time_scale, has_scales=(rate_scale, cv_scale) != (1.0, 1.0))
    else:
        drawn = _drawn(read, rate_scale, cv_scale, WINDOW_S if window is None else window, method, seed)
    if not len(drawn):
        raise InvalidInput("the trace would hold no requests", hint="raise --rate-scale")
    write_trace(out, drawn)
    show_trace(ctx, drawn, out=out)


def _cut(trace: Trace, start_s: float, duration_s: float | None) -> Trace:
    from vocabulary.traffic import part_of

    if duration_s is None and start_s == 0:
        return trace
    part = part_of(trace, start_s=start_s, duration_s=math.inf if duration_s is None else duration_s)
    if not len(part):
        last_s = float(trace.arrival_s[-1])
        hint = f"the trace goes from {trace.arrival_s[0]:g} s to {last_s:g} s"
        raise InvalidInput("there are no requests in that time", where="--start", hint=hint)
    return part


def _mapped(trace: Trace, deal: str | None, models: tuple[str, ...]) -> Trace:
    from vocabulary.traffic import dealt_by_name, dealt_in_stripes, dealt_round_robin

    if deal is None:
        if models:
            hint = "as in --map round_robin --models a,b,c"
            raise InvalidInput("--models needs --map", where="--models", hint=hint)
        return trace
    deals = {"round_robin": dealt_round_robin, "stripe": dealt_in_stripes}
    if deal in deals:
        if not models:
            hint = "as in --map round_robin --models a,b,c"
            raise InvalidInput(f"--map {deal} needs --models", where="--map", hint=hint)
        return deals[deal](trace, models)
    table = _table(deal)
    try:
        return dealt_by_name(trace, table)
    except KeyError as error:
        raise InvalidInput(f"no line for model {error.args[0]!r}", where=deal, hint="add one") from None


def _table(name: str) -> dict[str, str]:
    from vocabulary.formats.disk import read_bytes
    from vocabulary.formats.importers.imported import TraceFile as MappingFile
    from vocabulary.formats.importers.mapping import parse_mapping

    if not Path(name).exists():
        hint = "write round_robin, stripe, or a CSV file of lines FROM,TO"
        raise InvalidInput(f"{name!r} is no way to map", where="--map", hint=hint)
    return dict(parse_mapping(MappingFile(name, read_bytes(name))))


def _drawn(
    trace: Trace, rate_scale: float, cv_scale: float, window_s: float, method: Method, seed: int
) -> Trace:
    from simulator.traffic import windows
    from simulator.traffic.resample import Scales, resampled

    scales = Scales(rate_scale, cv_scale)
    return resampled(trace, scales=scales, window_s=window_s, seed=seed, method=windows.Method(method.value))


def _hastened(trace: Trace, factor: float, *, has_scales: bool) -> Trace:
    from vocabulary.traffic import time_scaled

    if has_scales:
        hint = "scale time, or rates and CV"
        raise InvalidInput("--time-scale draws nothing anew", where="--time-scale", hint=hint)
    if not 0 < factor < math.inf:
        raise InvalidInput(f"time cannot be scaled by {factor}", where="--time-scale", hint="as in 2 or 0.5")
    return time_scaled(trace, factor)
