"""Parts of a deployment file that later capabilities will read: their keys are known, their values loose."""

from __future__ import annotations

from typing import Any

from vocabulary.formats.shapes import Bandwidth, Bytes, Count, Seconds, Shape


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


class Adapter(Shape):
    """A low-rank adapter of a model."""

    name: Any = None
    source: Any = None
    rank: Any = None


class OnOverload(Shape):
    """What a client is told that comes when there is no room."""

    grpc: Any = None
    http: Any = None
    retry_after_ms: Any = None


class Record(Shape):
    """What is kept of requests."""

    requests: Any = None
    prompts: Any = None
