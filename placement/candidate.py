"""A placement while it is being searched for: meshes and model indices, cheap to change."""

from __future__ import annotations

from dataclasses import dataclass

from placement.groups import Layout
from vocabulary.placement import Group, Placement

Content = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """`content[g]` are the models on mesh g, by index into the deployment's models, ascending."""

    layout: Layout
    content: Content

    @property
    def num_replicas(self) -> int:
        return sum(len(models) for models in self.content)

    def replicas_of(self, model: int) -> int:
        return sum(model in models for models in self.content)

    def plus(self, group: int, model: int) -> Candidate:
        return self._changed(group, tuple(sorted((*self.content[group], model))))

    def minus(self, group: int, model: int) -> Candidate:
        return self._changed(group, tuple(other for other in self.content[group] if other != model))

    def sorted(self) -> Candidate:
        """The same placement with groups in the order of their content: which is first matters on ties."""
        order = sorted(range(len(self.layout)), key=lambda group: self.content[group])
        return Candidate(tuple(self.layout[g] for g in order), tuple(self.content[g] for g in order))

    def placement(self, models: tuple[str, ...], *, keeps_devices: bool = False) -> Placement:
        """As groups g0, g1, ... that hold something; empty meshes are left out.

        Of equal meshes, the groups take the devices in the cluster's order, unless `keeps_devices`: where
        rules name devices or hosts, each mesh keeps its own (`Constraints.names_devices`).
        """
        alike: dict[tuple[object, ...], list[tuple[str, ...]]] = {}
        for mesh in sorted(self.layout, key=lambda mesh: mesh.position):
            alike.setdefault(mesh.kind, []).append(mesh.devices)
        groups: list[Group] = []
        for mesh, held in zip(self.layout, self.content, strict=True):
            if held:
                names = tuple(models[model] for model in held)
                devices = mesh.devices if keeps_devices else alike[mesh.kind].pop(0)
                groups.append(Group(f"g{len(groups)}", devices, mesh.config, names))
        return Placement(tuple(groups))

    def _changed(self, group: int, models: tuple[int, ...]) -> Candidate:
        content = (*self.content[:group], models, *self.content[group + 1 :])
        return Candidate(self.layout, content)


def empty(layout: Layout) -> Candidate:
    return Candidate(layout, ((),) * len(layout))
