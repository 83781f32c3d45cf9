"""How one array lies on a mesh of devices: which slice of it each device holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Sharding:
    """`axes` are the mesh's (name, size), first slowest; `dims` names, per dimension, the axes that split it.

    A dimension with no axes is whole on every device; an axis that splits no dimension holds replicas.
    """

    axes: tuple[tuple[str, int], ...]
    dims: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.axes]
        used = [name for dim in self.dims for name in dim]
        assert len(set(names)) == len(names), names
        assert len(set(used)) == len(used), f"an axis splits two dimensions: {used}"
        assert set(used) <= set(names), (used, names)
        assert all(size >= 1 for _, size in self.axes), self.axes

    @property
    def num_devices(self) -> int:
        return math.prod(size for _, size in self.axes)

    def index_map(self, shape: tuple[int, ...]) -> Mapping[int, Slices]:
        """Device index (row-major over the axes) -> the slice of every dimension that it holds.

        A dimension of n elements in k parts has tiles of ceil(n / k); the last ones may be short or empty.
        """
        assert len(shape) == len(self.dims), (shape, self.dims)
        return {device: self._slices(device, shape) for device in range(self.num_devices)}

    def _slices(self, device: int, shape: tuple[int, ...]) -> Slices:
        position = self._position(device)
        return tuple(self._slice(size, axes, position) for size, axes in zip(shape, self.dims, strict=True))

    def _slice(self, size: int, axes: tuple[str, ...], position: Mapping[str, int]) -> slice:
        sizes = dict(self.axes)
        part, num_parts = 0, 1
        for axis in axes:
            part = part * sizes[axis] + position[axis]
            num_parts *= sizes[axis]
        tile = -(-size // num_parts)
        return slice(min(part * tile, size), min((part + 1) * tile, size))

    def _position(self, device: int) -> Mapping[str, int]:
        position: dict[str, int] = {}
        for name, size in reversed(self.axes):
            device, position[name] = divmod(device, size)
        return position
