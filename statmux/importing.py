"""Files of others -> a trace of ours: read, cut out, mapped to models, and drawn where they have no times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import read_bytes
from vocabulary.formats.document import did_you_mean
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import Arrivals, Conversations, Imported, TraceFile, Windows
from vocabulary.formats.importers.mapping import (
    DEALS,
    between,
    by_file,
    mapped,
    parse_mapping,
    sources_of,
)
from vocabulary.formats.trace import read_trace
from vocabulary.formats.trace_rows import Skipped
from vocabulary.formats.trace_source import source_of
from vocabulary.formats.trace_tokens import full_blocks
from vocabulary.trace import Trace

# Which files of a folder are of a format that comes in many.
FOLDERS = {
    "azure-functions-2019": ("invocations_per_function*.csv*",),
    "servegen": ("*-trace.csv", "*-dataset.json"),
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """How sources become models: one for all; by --map; or only such as are in `models`, when there are."""

    model: str | None = None
    deal: str | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """Of a CSV, JSONL or Parquet file: our columns -> its columns, what a second counts, its kind."""

    columns: Mapping[str, str] = field(default_factory=dict)
    per_s: float = 1.0
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """For what the file does not say: `cv` of gaps in windows of counts, `rate_rps` of conversations."""

    seed: int = 0
    cv: float = 1.0
    rate_rps: float | None = None
    think_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ImportedTrace:
    """is_drawn: arrivals are not the file's; is_estimated: token counts are not."""

    trace: Trace
    skipped: Skipped
    is_drawn: bool = False
    is_estimated: bool = False


def import_published(
    name: str,
    paths: Sequence[Path],
    *,
    mapping: Mapped = Mapped(),
    drawing: Drawing = Drawing(),
    part_s: tuple[float, float] = (0.0, math.inf),
    skips_bad: bool = False,
) -> ImportedTrace:
    """A published format by its name. part_s: from when until when, before sources are mapped to models.

    As in AlpaServe's artifact, functions without an invocation in that time have no part in the mapping.
    Raises InvalidInput with file, line, cause and hint.
    """
    files = [TraceFile(str(path), read_bytes(path)) for path in _expanded(name, paths)]
    found = import_files(name, files, skips_bad=skips_bad)
    return _finished(found, name, mapping, drawing, part_s, skips_bad=skips_bad)


def import_plain(
    path: Path,
    *,
    plain: Plain = Plain(),
    mapping: Mapped = Mapped(),
    part_s: tuple[float, float] = (0.0, math.inf),
    skips_bad: bool = False,
) -> ImportedTrace:
    """A file whose columns are ours, or are named. Without a model column, `mapping` deals requests out."""
    raw = read_bytes(path)
    source = source_of(raw, name=str(path), kind=plain.kind)
    has_models = source.has(plain.columns.get("model", "model")) and mapping.model is None
    is_named = has_models or (mapping.model is None and mapping.deal is None)
    reading = read_trace(
        raw,
        name=str(path),
        kind=plain.kind,
        columns=plain.columns,
        models=None if mapping.deal else mapping.models or None,
        only_model=None if is_named else "",
        in_order=False,
        per_s=plain.per_s,
        skips_bad=skips_bad,
    )
    trace = reading.trace if is_named else replace(reading.trace, models=())
    if trace.tokens is not None:
        trace = replace(trace, tokens=full_blocks(trace.tokens))
    found = Arrivals(trace, reading.skipped)
    return _finished(found, str(path), mapping, Drawing(), part_s, skips_bad=skips_bad)


def _finished(
    found: Imported,
    name: str,
    mapping: Mapped,
    drawing: Drawing,
    part_s: tuple[float, float],
    *,
    skips_bad: bool,
) -> ImportedTrace:
    found = between(found, *part_s)
    _refuse_empty(found, name)
    # Clients have gaps of their own: their arrivals are drawn before they share a model.
    if isinstance(found, Windows) and found.gap_shape is not None:
        found = Arrivals(_drawn(found, drawing), found.skipped)
        is_drawn = True
    else:
        is_drawn = not isinstance(found, Arrivals)
    is_estimated = isinstance(found, Conversations)
    found = _with_models(found, name, mapping, skips_bad=skips_bad)
    trace = _drawn(found, drawing)
    if not len(trace):
        raise InvalidInput(
            "the trace would hold no requests", where=name, hint="widen --start and --duration"
        )
    return ImportedTrace(trace, found.skipped, is_drawn, is_estimated)


def _with_models(found: Imported, name: str, mapping: Mapped, *, skips_bad: bool) -> Imported:
    sources = sources_of(found)
    num_sources = len(sources) or (len(found.trace) if isinstance(found, Arrivals) else 0)
    if mapping.model is not None:
        return mapped(found, np.zeros(num_sources, np.int32), (mapping.model,))
    if mapping.deal is None:
        if not sources:
            hint = "--model NAME, or --map round_robin --models a,b,c, which deals its requests out"
            raise InvalidInput("the file names no model", where=name, hint=hint)
        return _restricted(found, mapping.models, skips_bad=skips_bad) if mapping.models else found
    if mapping.deal in DEALS:
        return mapped(found, DEALS[mapping.deal](num_sources, len(mapping.models)), mapping.models)
    table = parse_mapping(TraceFile(mapping.deal, read_bytes(mapping.deal)))
    if not sources:
        hint = "use --model, --map round_robin or --map stripe"
        raise InvalidInput("the file names nothing that could be mapped", where=name, hint=hint)
    models = mapping.models or tuple(dict.fromkeys(table.values()))
    return mapped(found, by_file(sources, table, models), models, skips_bad=skips_bad)


def _restricted(found: Imported, models: tuple[str, ...], *, skips_bad: bool) -> Imported:
    unknown = [one for one in sources_of(found) if one not in models]
    if unknown and not skips_bad:
        hint = f"{did_you_mean(unknown[0], models)} (of --models)"
        raise InvalidInput(f"unknown model {unknown[0]!r}", where="--models", hint=hint)
    lookup = by_file(sources_of(found), {one: one for one in models}, models)
    return mapped(found, lookup, models, skips_bad=skips_bad)


def _drawn(found: Imported, drawing: Drawing) -> Trace:
    from simulator.traffic.imported_arrivals import arrivals_in_windows, arrivals_of_conversations

    match found:
        case Arrivals(trace):
            return trace
        case Windows():
            return arrivals_in_windows(found, cv=drawing.cv, seed=drawing.seed)
        case Conversations():
            if drawing.rate_rps is None:
                hint = "--rate 10 draws them at 10 requests a second"
                raise InvalidInput("the file has no arrival times", where="--rate", hint=hint)
            return arrivals_of_conversations(
                found, rate_rps=drawing.rate_rps, think_s=drawing.think_s, seed=drawing.seed
            )


def _expanded(name: str, paths: Sequence[Path]) -> list[Path]:
    """Folders as their files of the format."""
    expanded: list[Path] = []
    for path in paths:
        if not path.is_dir() or name not in FOLDERS:
            expanded.append(path)
            continue
        inside = sorted(one for pattern in FOLDERS[name] for one in path.glob(pattern))
        if not inside:
            hint = f"a folder of {name} has {' and '.join(FOLDERS[name])}"
            raise InvalidInput("there is no file of that format", where=str(path), hint=hint)
        expanded += inside
    return expanded


def _refuse_empty(found: Imported, name: str) -> None:
    if not len(found):
        raise InvalidInput(
            "the trace would hold no requests", where=name, hint="widen --start and --duration"
        )
