"""The mesh that a graph is laid on, as an alpha-beta model: what collectives and passes over memory take."""

from __future__ import annotations

from dataclasses import dataclass

from vocabulary.layer_graph import GraphTensor, Layout


@dataclass(frozen=True, slots=True)
class MeshAxis:
    """`size` devices in a ring. A collective takes `latency_s`, and its bytes by what one device sends."""

    name: str
    size: int
    latency_s: float
    bandwidth_bytes_per_s: float

    def __post_init__(self) -> None:
        assert self.size >= 1, self
        assert self.bandwidth_bytes_per_s > 0, self

    def all_reduce_s(self, num_bytes: float) -> float:
        """Of parts that are `num_bytes` on every device, before and after."""
        return self._collective_s(2 * num_bytes)

    def all_gather_s(self, num_bytes: float) -> float:
        """`num_bytes`: what every device holds afterwards. A reduce-scatter of as much takes as long."""
        return self._collective_s(num_bytes)

    def all_to_all_s(self, num_bytes: float) -> float:
        """`num_bytes`: what every device holds, before and after."""
        return self._collective_s(num_bytes)

    def _collective_s(self, num_bytes: float) -> float:
        if self.size == 1:
            return 0.0
        return self.latency_s + num_bytes * (self.size - 1) / self.size / self.bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True)
class DeviceMesh:
    """Equal devices along `axes`. An operator's flops or bytes, whichever takes longer, are its time."""

    axes: tuple[MeshAxis, ...]
    flops_per_s: float
    memory_bytes_per_s: float

    def __post_init__(self) -> None:
        assert len({axis.name for axis in self.axes}) == len(self.axes), self.axes

    @property
    def named_sizes(self) -> tuple[tuple[str, int], ...]:
        return tuple((axis.name, axis.size) for axis in self.axes)

    @property
    def whole(self) -> Layout:
        """The layout of a tensor that every device holds."""
        return (None,) * len(self.axes)

    def num_parts(self, layout: Layout) -> int:
        """Into how many different parts a layout cuts a tensor."""
        parts = 1
        for axis, dim in zip(self.axes, layout, strict=True):
            parts *= 1 if dim is None else axis.size
        return parts

    def local_bytes(self, tensor: GraphTensor, layout: Layout) -> float:
        """Bytes of a tensor on each device."""
        return tensor.num_bytes / self.num_parts(layout)

    def pass_s(self, *, flops: float, num_bytes: float) -> float:
        """One device's time for so much work."""
        return max(flops / self.flops_per_s, num_bytes / self.memory_bytes_per_s)
