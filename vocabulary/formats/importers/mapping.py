"""Functions or clients of a published trace become models of ours: in turns, in blocks, or by a file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import did_you_mean
from vocabulary.formats.importers.imported import Arrivals, Conversations, Imported, TraceFile, Windows
from vocabulary.formats.trace_rows import Skipped
from vocabulary.trace import Trace

# A source that the mapping does not have.
NO_MODEL = -1
HEADER = ["function", "model"]
HINT = "write a function and its model on each line: 7aa0f8b2,llama"


def in_turns(num_sources: int, num_models: int) -> NDArray[np.int32]:
    """Source i to model i mod M: the position of each source's model."""
    return (np.arange(num_sources) % num_models).astype(np.int32)


def in_blocks(num_sources: int, num_models: int) -> NDArray[np.int32]:
    """Contiguous blocks of sources, one for each model."""
    return (np.arange(num_sources, dtype=np.int64) * num_models // num_sources).astype(np.int32)


DEALS: Mapping[str, Callable[[int, int], NDArray[np.int32]]] = {"round_robin": in_turns, "stripe": in_blocks}


def parse_mapping(file: TraceFile) -> Mapping[str, str]:
    """A CSV of two columns; the header `function,model` may be missing. Raises InvalidInput with the line."""
    try:
        lines = file.raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput("not UTF-8 text", where=file.name, hint=HINT) from None
    models: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        where = f"{file.name}:{number}"
        try:
            cells = [cell.strip() for cell in next(csv.reader([line]), list[str]())]
        except csv.Error as error:
            raise InvalidInput(str(error), where=where, hint=HINT) from None
        if not any(cells) or (number == 1 and cells == HEADER):
            continue
        if len(cells) != 2 or not all(cells):
            raise InvalidInput(f"{line[:60]!r} is not a function and its model", where=where, hint=HINT)
        if models.setdefault(cells[0], cells[1]) != cells[1]:
            message = f"function {cells[0]} has model {cells[1]} here and {models[cells[0]]} above"
            raise InvalidInput(message, where=where, hint="a function has one model")
    if not models:
        raise InvalidInput("the mapping is empty", where=file.name, hint=HINT)
    return models


def by_file(sources: Sequence[str], mapping: Mapping[str, str], models: Sequence[str]) -> NDArray[np.int32]:
    """The position of each source's model, or NO_MODEL. Raises InvalidInput for a model not in `models`."""
    position = {name: index for index, name in enumerate(models)}
    for name in mapping.values():
        if name not in position:
            hint = f"{did_you_mean(name, tuple(models))} (of --models)"
            raise InvalidInput(f"unknown model {name!r}", where="--map", hint=hint)
    return np.array([position.get(mapping.get(one, ""), NO_MODEL) for one in sources], dtype=np.int32)


def sources_of(imported: Imported) -> tuple[str, ...]:
    """Functions, clients or models, in the order of the file; none when the format names none."""
    match imported:
        case Arrivals():
            return imported.trace.models
        case Windows():
            return imported.sources
        case Conversations():
            return imported.models


def mapped(
    imported: Imported, lookup: NDArray[np.int32], models: tuple[str, ...], *, skips_bad: bool = False
) -> Imported:
    """With `models` for sources. lookup: position of each source's model; of each request's without sources.

    Raises InvalidInput for a source without a model, or leaves it out with `skips_bad`.
    """
    lost = [sources_of(imported)[index] for index in np.flatnonzero(lookup == NO_MODEL)]
    if lost:
        message = f"function {lost[0]} has no model" + (
            f", nor have {len(lost) - 1} more" if lost[1:] else ""
        )
        if not skips_bad:
            hint = "add it to the file, or leave such functions out with --skip-bad"
            raise InvalidInput(message, where="--map", hint=hint)
        imported = _only(imported, lookup != NO_MODEL, Skipped(len(lost), f"--map: {message}"))
    match imported:
        case Arrivals(trace):
            index = lookup[trace.model_index] if trace.models else lookup
            return replace(imported, trace=replace(trace, model_index=index, models=models))
        case Windows():
            return _merged(replace(imported, sources=models, source_index=lookup[imported.source_index]))
        case Conversations():
            return replace(imported, models=models, model_index=lookup[imported.model_index])


def between(imported: Imported, start_s: float, stop_s: float) -> Imported:
    """What arrives from `start_s` until before `stop_s`; windows that begin then. Sources without any go."""
    match imported:
        case Arrivals(trace):
            rows = (trace.arrival_s >= start_s) & (trace.arrival_s < stop_s)
            return imported if rows.all() else replace(imported, trace=_with_used_models(trace.take(rows)))
        case Windows():
            rows = (imported.start_s >= start_s) & (imported.start_s < stop_s)
            return imported if rows.all() else _with_used_sources(imported.take(rows))
        case Conversations():
            return imported


def _only(imported: Imported, has_model: NDArray[np.bool_], skipped: Skipped) -> Imported:
    skipped = imported.skipped.plus(skipped)
    match imported:
        case Arrivals(trace):
            return Arrivals(trace.take(has_model[trace.model_index]), skipped)
        case Windows():
            return replace(imported.take(has_model[imported.source_index]), skipped=skipped)
        case Conversations():
            rows = has_model[imported.model_index]
            return Conversations(
                imported.models,
                imported.model_index[rows],
                imported.conversation_index[rows],
                imported.turn_index[rows],
                imported.tokens.take(rows),
                skipped,
            )


def _merged(windows: Windows) -> Windows:
    """One window for each model and start, as AlpaServe adds functions up before it draws their arrivals."""
    if windows.gap_shape is not None:
        return windows
    keys = np.stack([windows.source_index, windows.start_s])
    keys, inverse = np.unique(keys, axis=1, return_inverse=True)
    counts = np.zeros(keys.shape[1], dtype=np.int64)
    np.add.at(counts, inverse, windows.num_requests)
    length_s = np.zeros(keys.shape[1])
    length_s[inverse] = windows.length_s
    return replace(
        windows,
        source_index=keys[0].astype(np.int32),
        start_s=keys[1],
        length_s=length_s,
        num_requests=counts,
    )


def _with_used_models(trace: Trace) -> Trace:
    if not trace.models:
        return trace
    used, index = np.unique(trace.model_index, return_inverse=True)
    names = tuple(trace.models[int(number)] for number in used)
    return replace(trace, model_index=index.astype(np.int32), models=names)


def _with_used_sources(windows: Windows) -> Windows:
    used, index = np.unique(windows.source_index, return_inverse=True)
    position = {int(number): rank for rank, number in enumerate(used)}
    return replace(
        windows,
        sources=tuple(windows.sources[int(number)] for number in used),
        source_index=index.astype(np.int32),
        lengths=tuple(
            replace(one, source_index=position[one.source_index])
            for one in windows.lengths
            if one.source_index in position
        ),
    )
