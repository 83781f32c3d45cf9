"""A mesh of devices of a known type."""

from __future__ import annotations

from collections import Counter

from placement.costs.devices import DeviceType, Link
from placement.intra.mesh import DeviceMesh, MeshAxis
from vocabulary.layer_graph import LayerGraph

TENSOR_AXIS = "tensor"
HOST_AXIS = "host"


def device_mesh(device: DeviceType, graph: LayerGraph, *, tensor: int, hosts: int = 1) -> DeviceMesh:
    """`tensor` devices of each of `hosts`; as fast as the device is with most of the graph's parameters."""
    axes = [_axis(HOST_AXIS, hosts, device.network)] if hosts > 1 else []
    return DeviceMesh(
        (*axes, _axis(TENSOR_AXIS, tensor, device.link)),
        flops_per_s=device.flops_per_s.get(_dtype(graph), device.flops_per_s[device.default_dtype]),
        memory_bytes_per_s=device.memory_bytes_per_s,
    )


def _axis(name: str, size: int, link: Link) -> MeshAxis:
    return MeshAxis(name, size, link.latency_s, link.bytes_per_s)


def _dtype(graph: LayerGraph) -> str:
    """The type of most bytes of parameters."""
    counts: Counter[str] = Counter()
    for number in graph.parameters:
        counts[graph.tensors[number].dtype] += graph.tensors[number].num_bytes
    return counts.most_common(1)[0][0] if counts else ""
