"""Parts of a deployment file that later capabilities will read: their keys are known, their values loose."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from vocabulary.formats.shapes import Bandwidth, Bytes, Count, Seconds, Shape


def _loose(name: str, keys: str) -> type[Shape]:
    fields: dict[str, Any] = {key: (Any, None) for key in keys.split()}
    return create_model(name, __base__=Shape, **fields)


class Interconnect(Shape):
    """Between the devices of a host."""

    intra_node: str | None = None
    bandwidth: Bandwidth | None = None
    latency: Seconds | None = None


class Host(Shape):
    """What a host has besides its devices."""

    cpus: Count | None = None
    memory: Bytes | None = None
    disk_read: Bandwidth | None = None


Adapter = _loose("Adapter", "name source rank")
OnOverload = _loose("OnOverload", "grpc http retry_after_ms")
Record = _loose("Record", "requests prompts")
