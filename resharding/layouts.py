"""`(2,4):S0,R`: a mesh of hosts and devices, and how each dimension of a tensor lies on it, as text.

S0 shards a dimension over the hosts, S1 over the devices of a host, S01 over both, R replicates it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from resharding.moves import Placed, on_hosts
from vocabulary.errors import InvalidInput
from vocabulary.sharding import Sharding

# Of a mesh: more than this are planned for minutes.
MAX_DEVICES = 4096
_AXES = {"0": "hosts", "1": "devices"}
_HINT = "write it like (2,4):S0,R - hosts and devices of each, then S0, S1, S01 or R for every dimension"


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """A layout that has no hosts yet. dims: the mesh axes that shard each dimension."""

    text: str
    num_hosts: int
    devices_per_host: int
    dims: tuple[tuple[str, ...], ...]

    def on(self, hosts: tuple[int, ...]) -> Placed:
        """On these hosts; as many as it has."""
        assert len(hosts) == self.num_hosts, (hosts, self)
        axes = (("hosts", self.num_hosts), ("devices", self.devices_per_host))
        return Placed(Sharding(axes, self.dims), on_hosts(hosts, self.devices_per_host))


def parse_layout(text: str, *, shape: tuple[int, ...], where: str) -> LayoutSpec:
    """Raises InvalidInput with the numbers and the remedy."""
    match = re.fullmatch(r"\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*:\s*(.*?)\s*", text)
    if match is None:
        raise InvalidInput(f"{text!r} is no layout", where=where, hint=_HINT)
    num_hosts, devices_per_host = int(match[1]), int(match[2])
    if not 1 <= num_hosts * devices_per_host <= MAX_DEVICES:
        message = f"{text!r} is a mesh of {num_hosts} hosts x {devices_per_host} devices"
        hint = f"give at least 1 of each, and at most {MAX_DEVICES} devices in all"
        raise InvalidInput(message, where=where, hint=hint)
    dims = tuple(_dim(word.strip(), text, where) for word in match[3].split(","))
    spec = LayoutSpec(text, num_hosts, devices_per_host, dims)
    _check(spec, shape, where)
    return spec


def _dim(word: str, text: str, where: str) -> tuple[str, ...]:
    if word == "R":
        return ()
    if not re.fullmatch(r"S\d+", word):
        raise InvalidInput(f"{word!r} in {text!r} is no way to lay a dimension", where=where, hint=_HINT)
    unknown = [digit for digit in word[1:] if digit not in _AXES]
    if unknown:
        message = f"{word!r} in {text!r} names axis {unknown[0]}, and a mesh has axes 0 and 1"
        hint = "axis 0 are the hosts, axis 1 the devices of a host: S0, S1 or S01"
        raise InvalidInput(message, where=where, hint=hint)
    return tuple(_AXES[digit] for digit in word[1:])


def _check(spec: LayoutSpec, shape: tuple[int, ...], where: str) -> None:
    if len(spec.dims) != len(shape):
        message = f"{spec.text!r} lays {len(spec.dims)} dimensions and the shape {shape} has {len(shape)}"
        raise InvalidInput(message, where=where, hint="give one of S0, S1, S01, R for each dimension")
    used = [axis for dim in spec.dims for axis in dim]
    for number, dim in enumerate(spec.dims):
        if len(set(dim)) < len(dim):
            message = f"{spec.text!r} shards dimension {number} {len(dim)} times, over {' and '.join(dim)}"
            raise InvalidInput(message, where=where, hint="name an axis of the mesh once: S0, S1 or S01")
    twice = [axis for axis in _AXES.values() if used.count(axis) > 1]
    if twice:
        message = f"{spec.text!r} shards {used.count(twice[0])} dimensions over the {twice[0]}"
        hint = "an axis of the mesh shards one dimension; make the others R"
        raise InvalidInput(message, where=where, hint=hint)
    sizes = {"hosts": spec.num_hosts, "devices": spec.devices_per_host}
    for number, (size, dim) in enumerate(zip(shape, spec.dims, strict=True)):
        num_shards = math.prod(sizes[axis] for axis in dim)
        if num_shards > size:
            message = f"{spec.text!r} cuts dimension {number} of {size} elements into {num_shards} shards"
            hint = f"shard a dimension of at least {num_shards} elements, or use a smaller mesh"
            raise InvalidInput(message, where=where, hint=hint)
