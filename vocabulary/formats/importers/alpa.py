"""Profiles that Alpa's benchmarks wrote (TSV), read as text: nothing is unpickled or evaluated.

Two kinds of row, with or without the line of names (`write_tsv` leaves it out): by a given configuration (DP,
OP, PP; alpa-projects/alpa, benchmark_one_case_gpt_bert_inference.py), and by one that Alpa searched, which is
in Metadata (submesh_shapes; alpa-projects/mms, alpa_serve/profiling.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vocabulary.errors import InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of

GIVEN = (
    "ModelName", "BS", "#Microbatch", "DP", "OP", "PP", "#GPU", "MeanTime(s)", "StdTime(s)", "TFLOPs",
    "StageWeights(B)", "StagePeakMem(B)", "StageLatencies(s)",
)  # fmt: skip
SEARCHED = (
    "ModelName", "BS", "#Microbatch", "ParallelArgs", "MeanTime(s)", "StdTime(s)", "TFLOPs",
    "StageWeights(B)", "StagePeakMem(B)", "StageLatencies(s)", "Metadata", "TimeStamp",
)  # fmt: skip
# Sizes are in bytes, in older files in GB, which is 2^30 in Alpa.
_UNITS = {"B": 1, "GB": 2**30}
# What a file of profiles never reaches; a longer one is something else.
MAX_ROWS, MAX_CELL, MAX_STAGES, MAX_NAME_BYTES = 100_000, 1_000_000, 1024, 200
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MESH = r"[(\[]\s*(\d+)\s*,\s*(\d+)\s*[)\]]"
# Separators in one class: with spaces allowed twice, a long cell would take exponential time.
_MESHES = re.compile(rf"['\"]submesh_shapes['\"]\s*:\s*[(\[]\s*((?:{_MESH}[\s,]*)+)[)\]]")


@dataclass(frozen=True, slots=True)
class AlpaProfiles:
    """One profile a model, and how many rows could not be used, by why."""

    profiles: tuple[Profile, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Row:
    """One measurement: bytes on each device and seconds, by stage."""

    model: str
    config: ParallelConfig
    batch_size: int
    latency_s: tuple[float, ...]
    weight_bytes: tuple[int, ...]
    activation_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Cells:
    """A line's cells by column; errors say where."""

    values: Mapping[str, str]
    name: str
    line: int

    def error(self, column: str, message: str, hint: str = "") -> InvalidInput:
        return InvalidInput(message, where=f"{self.name}:{self.line}, column {column}", hint=hint)

    def text(self, column: str) -> str:
        value = self.values[column].strip()
        if not value:
            raise self.error(column, "is empty")
        return value

    def count(self, column: str) -> int:
        text = self.text(column)
        if not text.isdecimal() or not int(text[:9]) >= 1 or len(text) > 9:
            raise self.error(column, f"{_shown(text)} is not a positive whole number")
        return int(text)

    def numbers(self, column: str) -> tuple[float, ...]:
        """`[0.1, 0.2]`, also with spaces between as numpy prints it."""
        text = self.text(column)
        inside = text[1:-1] if text[0] == "[" and text[-1] == "]" else text
        parts = inside.replace(",", " ").split()
        if not parts or len(parts) > MAX_STAGES:
            raise self.error(column, f"has {len(parts)} numbers; one a stage is expected")
        for part in parts:
            if not _NUMBER.fullmatch(part) or not 0 <= float(part) < math.inf:
                hint = "a list like [0.05, 0.06], a number a stage"
                raise self.error(column, f"{_shown(part)} is not a number of at least 0", hint)
        return tuple(map(float, parts))


def read_alpa(text: str, *, name: str, device_type: str, sequence_length: int | None = None) -> AlpaProfiles:
    """The profiles of a TSV. Bytes are of one device; a stage's activations are its peak less its weights.

    Of several rows for one configuration and batch size the one with the quickest slowest stage counts, as in
    mms; weights are the most of any row that counts. Left out, and counted, are rows with data parallelism
    (replicas are groups of their own here) or several micro-batches, searched rows whose stages differ in
    their number of devices, and configurations that have no row for batch size 1. A slash in a model's name
    becomes a dash. Raises InvalidInput with line, column and remedy.
    """
    left_out: Counter[str] = Counter()
    best: dict[tuple[str, ParallelConfig, int], _Row] = {}
    for cells in _lines(text, name):
        row = _row(cells, left_out)
        if row is None:
            continue
        key = (row.model, row.config, row.batch_size)
        if key not in best or max(row.latency_s) < max(best[key].latency_s):
            best[key] = row
    by_model: dict[str, dict[ParallelConfig, list[_Row]]] = {}
    for row in best.values():
        by_model.setdefault(row.model, {}).setdefault(row.config, []).append(row)
    note = f"Alpa's {name.rpartition('/')[2]}"
    profiles = [
        _profile(model, configs, device_type, Provenance("imported", note), sequence_length, left_out)
        for model, configs in by_model.items()
    ]
    kept = tuple(one for one in profiles if one.entries)
    if not kept:
        raise InvalidInput("no row can be used", where=name, hint=_reasons(left_out))
    return AlpaProfiles(kept, dict(left_out))


def _lines(text: str, name: str) -> Iterator[_Cells]:
    columns: Sequence[str] | None = None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines or len(lines) > MAX_ROWS:
        raise InvalidInput(f"{len(lines)} rows; 1 to {MAX_ROWS} are read", where=name)
    for number, line in lines:
        cells = line.split("\t")
        if max(map(len, cells)) > MAX_CELL:
            raise InvalidInput(f"a cell of over {MAX_CELL} characters", where=f"{name}:{number}")
        if cells[0].strip() == GIVEN[0]:
            columns = _named(tuple(cell.strip() for cell in cells), f"{name}:{number}")
            continue
        columns = columns or _known(len(cells), f"{name}:{number}")
        if len(cells) != len(columns):
            raise InvalidInput(
                f"{len(cells)} columns where {len(columns)} are named",
                where=f"{name}:{number}",
                hint="columns are separated by tabs",
            )
        yield _Cells(dict(zip(columns, cells, strict=True)), name, number)


def _named(columns: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Checks a line of names; sizes in GB keep their unit in the name."""
    for needed in ("BS", "StageLatencies(s)"):
        if needed not in columns:
            raise InvalidInput(f"no column {needed}", where=where, hint=f"Alpa's are {', '.join(GIVEN)}")
    for needed in ("StageWeights", "StagePeakMem"):
        if not any(f"{needed}({unit})" in columns for unit in _UNITS):
            raise InvalidInput(f"no column {needed}(B)", where=where, hint=f"Alpa's are {', '.join(GIVEN)}")
    if not {"OP", "PP"} <= set(columns) and "Metadata" not in columns:
        raise InvalidInput(
            "neither OP and PP nor Metadata", where=where, hint="the configuration is in these"
        )
    return columns


def _known(num_columns: int, where: str) -> tuple[str, ...]:
    for columns in (GIVEN, SEARCHED):
        if len(columns) == num_columns:
            return columns
    raise InvalidInput(
        f"{num_columns} columns and no line of names",
        where=where,
        hint=f"Alpa writes {len(GIVEN)} ({', '.join(GIVEN)}) or {len(SEARCHED)}, separated by tabs",
    )


def _row(cells: _Cells, left_out: Counter[str]) -> _Row | None:
    columns = cells.values
    for column, why in (("DP", "data parallel"), ("#Microbatch", "several micro-batches")):
        if column in columns and cells.count(column) > 1:
            left_out[why] += 1
            return None
    config = _config(cells)
    if config is None:
        left_out["stages of different numbers of devices"] += 1
        return None
    latency_s = _staged(cells, "StageLatencies(s)", config)
    weight_bytes = _sizes(cells, "StageWeights", config)
    peak_bytes = _sizes(cells, "StagePeakMem", config)
    if any(peak < weight for peak, weight in zip(peak_bytes, weight_bytes, strict=True)):
        raise cells.error("StagePeakMem", f"peak {peak_bytes} is below the weights {weight_bytes}")
    if max(latency_s) <= 0:
        raise cells.error("StageLatencies(s)", "no stage takes any time")
    return _Row(
        _model(cells),
        config,
        cells.count("BS"),
        latency_s,
        weight_bytes,
        tuple(peak - weight for peak, weight in zip(peak_bytes, weight_bytes, strict=True)),
    )


def _model(cells: _Cells) -> str:
    name = cells.text("ModelName").replace("/", "-")
    if not name.isprintable() or "\\" in name or name in (".", "..") or len(name.encode()) > MAX_NAME_BYTES:
        raise cells.error("ModelName", f"{_shown(name)} is no name for a model")
    return name


def _config(cells: _Cells) -> ParallelConfig | None:
    if "OP" in cells.values and "PP" in cells.values:
        return ParallelConfig(cells.count("OP"), cells.count("PP"))
    found = _MESHES.search(cells.text("Metadata"))
    if found is None:
        hint = "as in {'submesh_shapes': [(1, 2), (1, 2)]}: hosts and devices of each stage"
        raise cells.error("Metadata", "has no submesh_shapes", hint)
    sizes = {int(hosts) * int(devices) for hosts, devices in re.findall(_MESH, found[1])}
    num_stages = len(re.findall(_MESH, found[1]))
    tensor = min(sizes)
    return ParallelConfig(tensor, num_stages) if len(sizes) == 1 and tensor else None


def _staged(cells: _Cells, column: str, config: ParallelConfig) -> tuple[float, ...]:
    numbers = cells.numbers(column)
    if len(numbers) != config.pipeline:
        raise cells.error(column, f"has {len(numbers)} numbers for {config.pipeline} stages")
    return numbers


def _sizes(cells: _Cells, what: str, config: ParallelConfig) -> tuple[int, ...]:
    unit = next(unit for unit in _UNITS if f"{what}({unit})" in cells.values)
    numbers = _staged(cells, f"{what}({unit})", config)
    return tuple(round(_UNITS[unit] * number) for number in numbers)


def _profile(
    model: str,
    configs: Mapping[ParallelConfig, Sequence[_Row]],
    device_type: str,
    provenance: Provenance,
    sequence_length: int | None,
    left_out: Counter[str],
) -> Profile:
    entries: list[ProfileEntry] = []
    for config, rows in sorted(configs.items()):
        by_size = {row.batch_size: row for row in sorted(rows, key=lambda row: row.batch_size)}
        if 1 not in by_size:
            left_out["no row for batch size 1"] += len(rows)
            continue
        entries.append(
            ProfileEntry(
                config,
                weight_bytes=tuple(map(max, zip(*(row.weight_bytes for row in rows), strict=True))),
                activation_bytes={size: row.activation_bytes for size, row in by_size.items()},
                stage_latency_s={size: row.latency_s for size, row in by_size.items()},
            )
        )
    return profile_of(model, device_type, entries, provenance=provenance, sequence_length=sequence_length)


def _reasons(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{count} left out: {why}" for why, count in left_out.items())


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
