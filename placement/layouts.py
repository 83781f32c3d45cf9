"""Layouts to look at: equal groups of every configuration, two that share the devices, their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from placement.baselines import published_layouts
from placement.groups import Host, Layout, Mesh, carve, num_free, part_of, without
from placement.memory import allows
from placement.problem import Problem
from vocabulary.parallel import ParallelConfig

# Layouts of a device type that are combined with those of others.
FIRST = 3
# Shares of the devices that the first of two configurations gets.
SHARES = (0.25, 0.5, 0.75)


def equal_layouts(problem: Problem, hosts: tuple[Host, ...]) -> Iterator[Layout]:
    """The published layouts, then equal groups of every other configuration that a model may have.

    Of a configuration that says a device type, on the devices of that type alone.
    """
    seen: set[ParallelConfig] = set()
    for layout in published_layouts(hosts):
        seen.update(mesh.config for mesh in layout[:1] if not mesh.config.device_type)
        yield layout
    for config in sorted(allowed_configs(problem) - seen):
        layout = carve(hosts, config)
        if layout:
            yield layout


def side_by_side(layouts: Sequence[Layout]) -> Iterator[Layout]:
    """A layout of each device type, in every combination of the first few of each."""
    by_type: dict[str, list[Layout]] = {}
    for layout in layouts:
        types = {mesh.config.device_type for mesh in layout}
        if len(types) == 1:
            by_type.setdefault(types.pop(), []).append(layout)
    if len(by_type) > 1:
        for parts in product(*(of_type[:FIRST] for of_type in by_type.values())):
            yield tuple(mesh for part in parts for mesh in part)


def shared_between(hosts: Sequence[Host], first: ParallelConfig, second: ParallelConfig) -> Iterator[Layout]:
    """Some of the devices in groups of one configuration, the rest in groups of another."""
    total = num_free(hosts)
    seen: set[int] = set()
    for share in SHARES:
        size = first.num_devices
        count = round(share * total / size) * size
        if not 0 < count < total or count in seen:
            continue
        seen.add(count)
        one, other = carve(part_of(hosts, 0, count), first), carve(part_of(hosts, count, total), second)
        if one and other:
            yield (*one, *other)


def neighbours(problem: Problem, hosts: Sequence[Host], layout: Layout) -> Iterator[Layout]:
    """One group of each kind cut in two, shaped otherwise, or merged with one that is like it."""
    configs = sorted(allowed_configs(problem))
    for meshes in _by_kind(layout).values():
        for taken in (meshes[-1:], meshes[-2:]):
            free = _only(hosts, taken)
            for config in configs:
                grown = _instead(free, taken, config)
                if grown:
                    yield tuple(mesh for mesh in layout if mesh not in taken) + grown


def allowed_configs(problem: Problem) -> frozenset[ParallelConfig]:
    """Configurations that some model may have."""
    return frozenset(
        config
        for model in problem.deployment.models
        if model.profile is not None
        for config in model.profile.entries
        if allows(model, config)
    )


def _by_kind(layout: Layout) -> dict[tuple[object, ...], list[Mesh]]:
    kinds: dict[tuple[object, ...], list[Mesh]] = {}
    for mesh in sorted(layout, key=lambda mesh: mesh.position):
        kinds.setdefault(mesh.kind, []).append(mesh)
    return kinds


def _only(hosts: Sequence[Host], taken: Sequence[Mesh]) -> tuple[Host, ...]:
    """The hosts with only the devices of these meshes free."""
    mine = {device for mesh in taken for device in mesh.devices}
    others = [device.id for host in hosts for device in host.free if device.id not in mine]
    return without(hosts, others)


def _instead(free: Sequence[Host], taken: Sequence[Mesh], config: ParallelConfig) -> Layout:
    """Groups of one configuration on the devices of a mesh, or of two; empty where that leaves some over."""
    size = sum(len(mesh.devices) for mesh in taken)
    wanted = (1, 2) if len(taken) == 1 else (1,)
    if config == taken[0].config.inside or size not in [count * config.num_devices for count in wanted]:
        return ()
    layout = carve(free, config)
    return layout if len(layout) * config.num_devices == size else ()
