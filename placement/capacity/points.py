"""A point of a capacity study: so many devices, traffic so fast and bursty, objectives so tight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from placement.capacity.axes import DEVICES
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.mesh import Cluster, NodeClass


@dataclass(frozen=True, slots=True)
class Point:
    """devices: of each node class, in the cluster's order. cv_scale None: arrivals as the trace has them."""

    devices: tuple[int, ...]
    rate_scale: float = 1.0
    slo_scale: float = 1.0
    cv_scale: float | None = None

    @property
    def num_devices(self) -> int:
        return sum(self.devices)

    def at(self, axis: str) -> float | None:
        """Where the point stands on an axis."""
        return self.num_devices if axis == DEVICES else getattr(self, axis)


def base_point(cluster: Cluster) -> Point:
    """The cluster, the traffic and the objectives as they are."""
    return Point(tuple(node.count * node.devices_per_host for node in cluster.nodes))


def class_to_resize(cluster: Cluster, name: str | None) -> int:
    """Index of the node class that a sweep of devices resizes: the named one, else the last.

    Raises InvalidInput if there is none of that name.
    """
    names = [node.name for node in cluster.nodes]
    if name is None:
        return len(names) - 1
    if name not in names:
        hint = f"choose among {', '.join(names)}"
        raise InvalidInput(f"the cluster has no node class {name!r}", where="--node-class", hint=hint)
    return names.index(name)


def moved(point: Point, axis: str, value: float, *, resized: int) -> Point:
    """The point with another value on one axis; devices: in all, where only class `resized` gives way.

    Raises InvalidInput when the other classes alone have more.
    """
    if axis != DEVICES:
        return replace(point, **{axis: value})
    others = point.num_devices - point.devices[resized]
    if value < others or value <= 0:
        raise InvalidInput(
            f"the other node classes have {others} devices already, {value:g} are asked for in all",
            where="--sweep devices",
            hint=f"start at {others + 1} or above, or choose the class to resize with --node-class",
        )
    devices = list(point.devices)
    devices[resized] = int(value) - others
    return replace(point, devices=tuple(devices))


def resized_cluster(cluster: Cluster, devices: tuple[int, ...]) -> Cluster:
    """So many devices of each class: whole hosts, and the rest on one smaller host, `<name>-part`."""
    nodes = [
        part for node, count in zip(cluster.nodes, devices, strict=True) for part in _resized(node, count)
    ]
    return replace(cluster, nodes=tuple(nodes))


def hourly_cost(cluster: Cluster) -> float | None:
    """Of all hosts, in the currency of the file; None when a class in use has no `cost_per_hour`."""
    costs = [(node.cost_per_hour, node.count) for node in cluster.nodes if node.count]
    if any(cost is None for cost, _ in costs):
        return None
    return sum(cost * count for cost, count in costs if cost is not None)


def deployment_at(deployment: Deployment, point: Point) -> Deployment:
    """The deployment with the point's devices and objectives."""
    cluster = resized_cluster(deployment.cluster, point.devices)
    return replace(with_slo_scale(deployment, point.slo_scale), cluster=cluster)


def with_slo_scale(deployment: Deployment, scale: float) -> Deployment:
    """The same deployment with every latency objective multiplied; models without one keep none."""
    if scale == 1.0:
        return deployment
    models = (replace(model, slo=model.slo.scaled(scale)) for model in deployment.models)
    return replace(deployment, models=tuple(models))


def _resized(node: NodeClass, num_devices: int) -> Iterator[NodeClass]:
    count, rest = divmod(num_devices, node.devices_per_host)
    if count or not rest:
        yield replace(node, count=count)
    if rest:
        # Rented by the device: a smaller host costs its share.
        share = None if node.cost_per_hour is None else node.cost_per_hour * rest / node.devices_per_host
        yield replace(node, name=f"{node.name}-part", count=1, devices_per_host=rest, cost_per_hour=share)
