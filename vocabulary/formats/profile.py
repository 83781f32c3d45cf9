"""ModelProfile files (JSON, or YAML of the same shape) <-> Profile."""

from __future__ import annotations

import json
from collections.abc import Sized
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vocabulary.formats.document import Document, KeyPath
from vocabulary.formats.shapes import Count, Name, NaturalNumber, NonNegative, Shape, Size, check
from vocabulary.formats.yaml_text import read_yaml_or_json
from vocabulary.generation import StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of


class ProvenanceShape(Shape):
    """Where the numbers come from; `versions` (tools by name) is for people."""

    kind: Literal["measured", "imported", "estimated"] = "imported"
    note: str = ""
    versions: dict[str, str] | None = None


class StepTimesShape(Shape):
    """Seconds of a step: constant_s + token_s x tokens computed + kv_token_s x tokens in the cache."""

    constant_s: NonNegative
    token_s: NonNegative
    kv_token_s: NonNegative = 0.0


class EntryShape(Shape):
    """One (tensor, pipeline): bytes per device of each stage; by batch size, bytes and seconds per stage.

    output_bytes, by batch size: what each stage gives to the next, for pipelines between hosts.
    part_s: seconds of the embedding, every layer and the head for one request. stage_layers: the layers of
    each stage as profiled, which workers then cut alike. estimated: this entry was not measured.
    A model that generates also has the times of a step, and bytes of a token's keys and values, per stage.
    """

    tensor: Count
    pipeline: Count
    weight_bytes: tuple[Size, ...]
    activation_bytes: dict[Count, tuple[Size, ...]] | None = None
    stage_latency_s: dict[Count, tuple[NonNegative, ...]]
    step_times: Annotated[tuple[StepTimesShape, ...], Field(min_length=1)] | None = None
    kv_bytes_per_token: Annotated[tuple[Size, ...], Field(min_length=1)] | None = None
    output_bytes: dict[Count, tuple[Size, ...]] | None = None
    part_s: tuple[NonNegative, ...] | None = None
    stage_layers: Annotated[tuple[NaturalNumber, ...], Field(min_length=1)] | None = None
    estimated: bool = False


class ProfileShape(Shape):
    """What a model costs on a device type: latency of each stage by batch size, weights, activations."""

    kind_name: ClassVar[str] = "profile"

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["ModelProfile"] = "ModelProfile"
    model: Name
    device_type: Name
    sequence_length: Count | None = None
    provenance: ProvenanceShape = ProvenanceShape.model_construct()
    entries: Annotated[tuple[EntryShape, ...], Field(min_length=1)]


def parse_profile(text: str, *, name: str) -> Profile:
    """Raises InvalidInput with line, key path, cause and hint."""
    document = read_yaml_or_json(text, name=name)
    shape = check(ProfileShape, document)
    seen: set[ParallelConfig] = set()
    for index, entry in enumerate(shape.entries):
        _check_entry(entry, document, ("entries", index), seen)
    _check_all_generate(shape, document)
    return profile_of(
        shape.model,
        shape.device_type,
        (_entry(entry) for entry in shape.entries),
        provenance=Provenance(shape.provenance.kind, shape.provenance.note),
        sequence_length=shape.sequence_length,
    )


def format_profile(profile: Profile) -> str:
    """JSON with one line an entry, of one device type (`vocabulary.profile.profiles_by_type`)."""
    assert not any(config.device_type for config in profile.entries), profile.device_type
    header: dict[str, Any] = {
        "api_version": "v1alpha1",
        "kind": "ModelProfile",
        "model": profile.model,
        "device_type": profile.device_type,
        "sequence_length": profile.sequence_length,
        "provenance": {"kind": profile.provenance.kind, "note": profile.provenance.note},
    }
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in header.items() if value is not None
    ]
    entries = ",\n".join(f"    {json.dumps(_entry_mapping(entry))}" for entry in profile.entries.values())
    return "\n".join(["{", *lines, '  "entries": [', entries, "  ]", "}", ""])


def _check_entry(entry: EntryShape, document: Document, path: KeyPath, seen: set[ParallelConfig]) -> None:
    config = ParallelConfig(entry.tensor, entry.pipeline)
    if config in seen:
        raise document.error(path, f"a second entry for {config}", hint="keep one entry a configuration")
    seen.add(config)
    if 1 not in entry.stage_latency_s:
        hint = "add the latency of one request alone"
        raise document.error((*path, "stage_latency_s"), 'batch size "1" is missing', hint=hint)
    _check_stages(entry.weight_bytes, entry.pipeline, document, (*path, "weight_bytes"))
    for key, items in (
        ("step_times", entry.step_times),
        ("kv_bytes_per_token", entry.kv_bytes_per_token),
        ("stage_layers", entry.stage_layers),
    ):
        if items is not None:
            _check_stages(items, entry.pipeline, document, (*path, key))
    _check_parts(entry, document, path)
    for key, columns in (
        ("activation_bytes", entry.activation_bytes or {}),
        ("stage_latency_s", entry.stage_latency_s),
        ("output_bytes", entry.output_bytes or {}),
    ):
        for size, stages in columns.items():
            _check_stages(stages, entry.pipeline, document, (*path, key, str(size)))


def _check_parts(entry: EntryShape, document: Document, path: KeyPath) -> None:
    if entry.part_s is None:
        return
    num_layers = len(entry.part_s) - 2
    if num_layers < 1:
        message = f"has {len(entry.part_s)} numbers, fewer than an embedding, a layer and a head"
        raise document.error((*path, "part_s"), message, hint="write the seconds of each part, ends included")
    if entry.stage_layers is not None and sum(entry.stage_layers) != num_layers:
        message = f"add up to {sum(entry.stage_layers)} layers, part_s has {num_layers} between its two ends"
        raise document.error((*path, "stage_layers"), message, hint="write how many layers each stage has")


def _check_stages(stages: Sized, pipeline: int, document: Document, path: KeyPath) -> None:
    if len(stages) != pipeline:
        kind = "entries" if path[-1] == "step_times" else "numbers"
        message = f"has {len(stages)} {kind} for {pipeline} stages"
        raise document.error(path, message, hint="write one number a pipeline stage")


def _check_all_generate(shape: ProfileShape, document: Document) -> None:
    """A model generates wherever it is placed, or nowhere."""
    lacking = [index for index, entry in enumerate(shape.entries) if entry.step_times is None]
    if 0 < len(lacking) < len(shape.entries):
        hint = "give `step_times:` in every entry of a model that generates, or in none"
        path: KeyPath = ("entries", lacking[0])
        raise document.error(path, "has no step_times, which other entries have", hint=hint)


def _entry(entry: EntryShape) -> ProfileEntry:
    return ProfileEntry(
        ParallelConfig(entry.tensor, entry.pipeline),
        entry.weight_bytes,
        entry.activation_bytes or {},
        entry.stage_latency_s,
        tuple(StepTimes(one.constant_s, one.token_s, one.kv_token_s) for one in entry.step_times or ()),
        entry.kv_bytes_per_token or (),
        entry.output_bytes or {},
        entry.part_s or (),
        entry.stage_layers or (),
        entry.estimated,
    )


def _entry_mapping(entry: ProfileEntry) -> dict[str, Any]:
    optional: dict[str, Any] = {
        "step_times": [asdict(one) for one in entry.step_times],
        "kv_bytes_per_token": list(entry.kv_bytes_per_token),
        "output_bytes": {str(size): list(stages) for size, stages in entry.output_bytes.items()},
        "part_s": list(entry.part_s),
        "stage_layers": list(entry.stage_layers),
        "estimated": entry.is_estimated,
    }
    return {
        "tensor": entry.config.tensor,
        "pipeline": entry.config.pipeline,
        "weight_bytes": list(entry.weight_bytes),
        "activation_bytes": {str(size): list(stages) for size, stages in entry.activation_bytes.items()},
        "stage_latency_s": {str(size): list(stages) for size, stages in entry.stage_latency_s.items()},
        **{key: value for key, value in optional.items() if value},
    }
