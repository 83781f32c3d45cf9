"""JSON Schemas of the file kinds, from the shapes that check them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vocabulary.formats.deployment_shape import DeploymentShape
from vocabulary.formats.plan import PlanShape
from vocabulary.formats.profile import ProfileShape
from vocabulary.formats.shapes import Shape

KINDS = ("deployment", "profile", "plan", "trace")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file kind; for traces, of one row."""
    return _SCHEMAS[kind]()


def _of_shape(shape: type[Shape], title: str) -> dict[str, Any]:
    return {"$schema": _DIALECT, **shape.model_json_schema(), "title": title}


def _of_trace_row() -> dict[str, Any]:
    optional: dict[str, Any] = {
        "input_tokens": {"type": "integer", "minimum": 0},
        "output_tokens": {"type": "integer", "minimum": 0},
        "adapter": {"type": "string"},
        "slo_ms": {"type": "number", "exclusiveMinimum": 0},
        "ttft_ms": {"type": "number", "exclusiveMinimum": 0},
        "tpot_ms": {"type": "number", "exclusiveMinimum": 0},
        "priority": {"type": "integer"},
        "tenant": {"type": "string"},
        "session_id": {"type": "string"},
        "prefix_hashes": {"type": "array", "items": {"type": "integer"}},
        "prefix_block_tokens": {"type": "integer", "minimum": 1},
        "batch": {"type": "integer", "minimum": 1},
    }
    return {
        "$schema": _DIALECT,
        "title": "Trace row",
        "description": "A line of a JSONL trace; CSV and Parquet have the same columns. Rows are in order of "
        "timestamp_s. This version uses the required columns, the token counts and the prefix hashes.",
        "type": "object",
        "required": ["timestamp_s", "model"],
        "properties": {
            "timestamp_s": {"type": "number", "minimum": 0, "description": "arrival, in seconds"},
            "model": {"type": "string", "minLength": 1},
            **optional,
        },
    }


_SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "deployment": lambda: _of_shape(DeploymentShape, "Deployment"),
    "profile": lambda: _of_shape(ProfileShape, "ModelProfile"),
    "plan": lambda: _of_shape(PlanShape, "PlacementPlan"),
    "trace": _of_trace_row,
}
