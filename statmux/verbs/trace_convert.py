"""`statmux trace convert`: the same rows as another kind of file."""

from __future__ import annotations

import typer

from statmux.render import Console
from statmux.verbs.trace_options import Out, TraceFile
from statmux.verbs.trace_show import show_trace


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
    show_trace(ctx, read, out=out)
