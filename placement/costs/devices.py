"""Device types with their speeds, from `device_types.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from vocabulary.errors import InvalidInput
from vocabulary.units import parse_bandwidth, parse_bytes, parse_seconds

# Bytes of a number.
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Link:
    """One direction: a message takes latency_s + bytes / bytes_per_s."""

    bytes_per_s: float
    latency_s: float

    def seconds(self, num_bytes: float) -> float:
        return self.latency_s + num_bytes / self.bytes_per_s if num_bytes else 0.0


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What a device reaches: achievable speeds, not peaks. `shares_host`: see device_types.yaml."""

    name: str
    flops_per_s: Mapping[str, float]
    memory_bytes: int
    memory_bytes_per_s: float
    link: Link
    network: Link
    devices_per_host: int
    operator_s: float
    shares_host: bool = False

    @property
    def default_dtype(self) -> str:
        return next(iter(self.flops_per_s))

    def check_dtype(self, dtype: str) -> None:
        """Raises InvalidInput if the device type does not compute it."""
        if dtype not in self.flops_per_s:
            known = ", ".join(self.flops_per_s)
            raise InvalidInput(f"no speed is known for {dtype} on {self.name}", hint=f"known: {known}")


def device_type(name: str) -> DeviceType:
    """By name, whatever its case. Raises InvalidInput, with the nearest name, for one that is not there."""
    known = device_types()
    if name.lower() not in known:
        near = get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "measure it instead: statmux profile DEPLOYMENT"
        raise InvalidInput(f"no device type {name!r}; known: {', '.join(known)}", hint=hint)
    return known[name.lower()]


@cache
def device_types() -> Mapping[str, DeviceType]:
    """All, by name."""
    text = (files("placement.costs") / "device_types.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)["device_types"]
    return {name: _device_type(name, entry) for name, entry in document.items()}


def _device_type(name: str, entry: Mapping[str, Any]) -> DeviceType:
    reached = float(entry["flops_fraction"])
    link_fraction = float(entry["link_fraction"])
    return DeviceType(
        name,
        flops_per_s={dtype: reached * float(peak) for dtype, peak in entry["flops_per_s"].items()},
        memory_bytes=parse_bytes(entry["memory"]),
        memory_bytes_per_s=float(entry["memory_fraction"]) * parse_bandwidth(entry["memory_bandwidth"]),
        link=_link(entry["link"], link_fraction),
        network=_link(entry["network"], link_fraction),
        devices_per_host=int(entry["devices_per_host"]),
        operator_s=parse_seconds(entry["operator_overhead"]),
        shares_host=bool(entry.get("shares_host", False)),
    )


def _link(entry: Mapping[str, str], fraction: float) -> Link:
    return Link(fraction * parse_bandwidth(entry["bandwidth"]), parse_seconds(entry["latency"]))
