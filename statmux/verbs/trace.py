"""`statmux trace inspect|convert|import|gen`: traces in, traces out."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console, table
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from vocabulary.trace import Trace

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Inspect, convert, import or generate traces.",
    no_args_is_help=True,
)  # fmt: skip

# Files of a trace: the kind comes from the end of the name.
KINDS = ".csv, .csv.gz, .jsonl or .parquet"
MODELS_SHOWN = 20

TraceFile = Annotated[Path, typer.Argument(help=f"A trace: {KINDS}.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help=f"The file to write: {KINDS}.", show_default=False)]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="Names of the file's columns: timestamp_s=t,model=client.", show_default=False
    ),
]


class Unit(StrEnum):
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


class Dealing(StrEnum):
    ROUND_ROBIN = "round_robin"
    STRIPE = "stripe"


UNITS_PER_S = {Unit.S: 1.0, Unit.MS: 1e3, Unit.US: 1e6, Unit.NS: 1e9}


@app.command("inspect")
def inspect(ctx: typer.Context, trace: TraceFile, columns: Columns = None) -> None:
    """Count requests, rates and burstiness, in all and per model."""
    from vocabulary.formats.disk import load_trace

    _show(ctx, load_trace(trace, columns=_columns(columns)))


@app.command("convert")
def convert(ctx: typer.Context, trace: TraceFile, out: Out) -> None:
    """Write a trace as another kind of file, with every column that both kinds can hold."""
    import pyarrow as pa

    from vocabulary.formats.disk import load_trace, read_bytes, write_bytes
    from vocabulary.formats.trace import parse_table
    from vocabulary.formats.trace_table import format_table

    read = load_trace(trace)  # says what is wrong, if anything is
    rows = parse_table(read_bytes(trace), name=str(trace))
    rows = rows.select([name for name in rows.column_names if rows[name].null_count < len(rows)])
    write_bytes(out, format_table(rows, name=str(out)))
    lists = [field.name for field in rows.schema if pa.types.is_list(field.type)]
    if lists and ".csv" in out.name.lower():
        Console(ctx.obj).warn(f"CSV holds no lists; left out: {', '.join(lists)}")
    _show(ctx, read, out=out)


@app.command("import")
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
    read = _imported(trace, _columns(columns), model=model, deal=deal, models=_list(models))
    read = _in_seconds(read, unit, from_zero=from_zero)
    from vocabulary.formats.disk import write_trace

    write_trace(out, read)
    _show(ctx, read, out=out)


@app.command("gen")
def generate(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="A deployment whose models have `workload`.")],
    out: Out,
    duration: Annotated[str, typer.Option("--duration", help="How long: 90, 90s, 20m.")] = "60s",
    seed: Annotated[int, typer.Option("--seed", min=0, help="One seed gives one trace, on any machine.")] = 0,
    rate_scale: Annotated[float, typer.Option("--rate-scale", help="Multiplies every rate.")] = 1.0,
) -> None:
    """Draw the traffic that a deployment's `workload` keys describe: a Gamma process per model."""
    from simulator.workload import generate as draw
    from vocabulary.deployment import Workload
    from vocabulary.formats.disk import load_deployment, write_trace

    read = load_deployment(deployment, overrides=ctx.obj.overrides, needs_profiles=False)
    workloads = {
        one.name: Workload(one.workload.rate_rps * rate_scale, one.workload.cv)
        for one in read.models
        if one.workload is not None
    }
    if not workloads:
        hint = "give models `workload: {rate_rps: ..., cv: ...}`"
        raise InvalidInput("no model has a workload", where=str(deployment), hint=hint)
    drawn = draw(workloads, duration_s=_duration_s(duration), seed=seed)
    if not len(drawn):
        raise InvalidInput("the trace would hold no requests", hint="raise --duration or the rates")
    write_trace(out, drawn)
    _show(ctx, drawn, out=out)


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


def _columns(text: str | None) -> dict[str, str]:
    columns = dict(part.partition("=")[::2] for part in _list(text))
    if not all(columns.values()):
        hint = "write --columns timestamp_s=t,model=client"
        raise InvalidInput(f"{text!r} is not a list of NAME=COLUMN", where="--columns", hint=hint)
    return columns


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _duration_s(text: str) -> float:
    from vocabulary.units import parse_seconds

    try:
        seconds = float(text) if text.replace(".", "", 1).isdecimal() else parse_seconds(text)
    except ValueError as error:
        raise InvalidInput(str(error), where="--duration", hint="90, 90s or 20m, for instance") from None
    if seconds <= 0:
        raise InvalidInput("a trace needs some time", where="--duration", hint="90, 90s or 20m, for instance")
    return seconds


def _show(ctx: typer.Context, trace: Trace, *, out: Path | None = None) -> None:
    from vocabulary.traffic import traffic, traffic_by_model

    document: dict[str, Any] = {
        **({"out": str(out)} if out else {}),
        **asdict(traffic(trace)),
        "start_s": float(trace.arrival_s[0]),
        "duration_s": trace.duration_s,
        "num_models": len(trace.models),
        "models": {name: asdict(one) for name, one in traffic_by_model(trace).items()},
    }
    Console(ctx.obj).result(document, lambda: _table(document))


def _table(document: dict[str, Any]) -> str:
    by_rate = sorted(document["models"].items(), key=lambda item: -item[1]["num_requests"])
    rows = [("all", *(document[key] for key in ("num_requests", "rate_rps", "cv")))]
    rows += [(name, *one.values()) for name, one in by_rate[:MODELS_SHOWN]]
    text = table(("model", "requests", "rate /s", "gap CV"), rows)
    if len(by_rate) > MODELS_SHOWN:
        text += f"\n... and {len(by_rate) - MODELS_SHOWN} models more (all of them with -o json)"
    written = f"wrote {document['out']}: " if "out" in document else ""
    return f"{written}{document['duration_s']:.3f} s from {document['start_s']:.3f} s\n{text}"
