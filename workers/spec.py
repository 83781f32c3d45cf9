"""What a worker process needs to know to lead a group."""

from __future__ import annotations

from dataclasses import dataclass

from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.placement import Group


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One group of a fleet. `models` are the specs of the models placed on it.

    engine: "emulated", or "jax" on `platform` devices ("cpu": the group's devices are virtual ones).
    source_folder: where relative model sources start. socket_path: where to listen; empty for TCP.
    """

    group: Group
    models: tuple[ModelSpec, ...]
    catalog: Catalog
    policy: Policy
    engine: str
    platform: str
    source_folder: str
    key: str
    socket_path: str
    host: str = "127.0.0.1"
    beat_interval_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker listens: a Unix socket on its own host, or a TCP port."""

    socket_path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.socket_path}" if self.socket_path else f"{self.host}:{self.port}"
