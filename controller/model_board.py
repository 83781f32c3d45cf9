"""What clients see of each model, made anew when a group, a replica or a model opens or closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import final

from controller.calls import GenerationView, ModelState, ModelView
from controller.fleet import Pulse
from controller.group_table import GroupTable
from controller.split_board import SplitBoard
from vocabulary.deployment import ModelSpec
from vocabulary.versions import Split, parted
from workers.engine import GenerationInterface, ModelInterface


@final
class ModelBoard:
    """Knows which replicas are open, which groups are lost, which models users took out of service.

    `changed` beats.
    """

    def __init__(self, models: Iterable[ModelSpec], table: GroupTable, splits: Sequence[Split] = ()) -> None:
        self.changed = Pulse()
        self.views: Mapping[str, ModelView] = {}
        self._aliases = {model.name: model.aliases for model in models}
        self._table = table
        self._interfaces: dict[str, ModelInterface] = {}
        # (index of the group, model)
        self._open: set[tuple[int, str]] = set()
        self._losses: dict[int, str] = {}
        self._closed: set[str] = set()
        self._was_ready = False
        self._was_served: set[str] = set()
        self._splits = SplitBoard(splits)
        self.refresh()

    def adopt(self, models: Iterable[ModelSpec], splits: Sequence[Split] = ()) -> None:
        """The fleet's models are these now. What is known of those that stay is kept."""
        self._splits = SplitBoard(splits)
        self._aliases = {model.name: model.aliases for model in models}
        for known in (self._was_served, self._closed):
            known.intersection_update(self._aliases)
        self.refresh()

    def open_group(self, group_index: int, interfaces: Mapping[str, ModelInterface]) -> None:
        self._losses.pop(group_index, None)
        for model in self._table.groups[group_index].models:
            if model in interfaces:
                self._open_replica(group_index, model, interfaces[model])
        self.refresh()

    def open_replica(self, group_index: int, model: str, interface: ModelInterface) -> None:
        self._open_replica(group_index, model, interface)
        self.refresh()

    def close_replica(self, group_index: int, model: str) -> None:
        self._open.discard((group_index, model))
        self.refresh()

    def lose_group(self, group_index: int, why: str) -> None:
        self._close_all(group_index)
        self._losses[group_index] = why
        self.refresh()

    def remove_group(self, group_index: int) -> None:
        """After it has left the table."""
        self._close_all(group_index)
        self._losses.pop(group_index, None)
        self.refresh()

    def open_model(self, name: str) -> None:
        """Back into service."""
        self._closed.discard(name)
        self.refresh()

    def close_model(self, name: str) -> None:
        """Out of service; what it takes stays known."""
        self._closed.add(name)
        self.refresh()

    def is_open(self, group_index: int) -> bool:
        """Whether any of its replicas is."""
        return any(index == group_index for index, _ in self._open)

    def is_replica_open(self, group_index: int, model: str) -> bool:
        return (group_index, model) in self._open

    def replica_state(self, group_index: int, model: str) -> ModelState:
        """Of one replica of a model that the group is to hold."""
        if (group_index, model) in self._open and model not in self._closed:
            return ModelState.READY
        is_gone = group_index in self._losses or model in self._closed
        return ModelState.UNAVAILABLE if is_gone else ModelState.LOADING

    def interface(self, model: str) -> ModelInterface | None:
        return self._interfaces.get(model)

    def loss_of(self, group_index: int) -> str:
        """Why it is lost, empty if it is not."""
        return self._losses.get(group_index, "")

    def are_all_served(self) -> bool:
        """Every model that is placed has an open replica; a lost one of several is no reason to say no.

        Nor is, once the fleet was ready, a model that is new to it and still loads.
        """
        placed = {model for group in self._table.groups.values() for model in group.models}
        if self._was_ready:
            placed &= self._was_served
        is_ready = placed == {model for _, model in self._open if model in placed}
        self._was_ready |= is_ready
        return is_ready

    def served_as(self, name: str, *, call_id: str, tenant: str) -> str:
        """The model that a call for a name goes to: of one with versions, one of these."""
        return self._splits.served_as(name, self.views, call_id=call_id, tenant=tenant)

    def own_names(self, name: str) -> tuple[str, ...]:
        """Of a model with versions, theirs."""
        return self._splits.own_names(name)

    @property
    def closed(self) -> frozenset[str]:
        """Models that users took out of service."""
        return frozenset(self._closed)

    def is_closed(self, name: str) -> bool:
        return name in self._closed

    def is_known(self, name: str) -> bool:
        """What it takes is known, since one of its replicas was open."""
        return name in self._interfaces

    def refresh(self) -> None:
        """New views under every name and alias, and a beat for who watches them."""
        views = {name: self._same_or_new(name) for name in self._aliases}
        views |= {alias: views[name] for name in views for alias in self._aliases[name]}
        self.views = views | self._splits.views(views, known=self.views)
        self.changed.beat()

    def _open_replica(self, group_index: int, model: str, interface: ModelInterface) -> None:
        self._open.add((group_index, model))
        self._was_served.add(model)
        self._interfaces[model] = _shorter(self._interfaces.get(model), interface)

    def _close_all(self, group_index: int) -> None:
        self._open = {one for one in self._open if one[0] != group_index}

    def _same_or_new(self, name: str) -> ModelView:
        """The object that is known already, while nothing about the model changes."""
        new, old = self._view(name), self.views.get(name)
        return old if old == new else new

    def _view(self, name: str) -> ModelView:
        state, why = self._state(name)
        interface = self._interfaces.get(name)
        versions = (parted(name)[1] or "1",)
        if interface is None:
            return ModelView(name, (), (), versions=versions, state=state, state_reason=why)
        return ModelView(
            name,
            interface.inputs,
            interface.outputs,
            versions=versions,
            platform=interface.platform,
            state=state,
            state_reason=why,
            generation=_generation(interface.generation),
        )

    def _state(self, name: str) -> tuple[ModelState, str]:
        holders = self._table.holders(name)
        if name in self._closed:
            return ModelState.UNAVAILABLE, "unloaded"
        if not holders:
            return ModelState.UNAVAILABLE, "no group of the placement holds it"
        if any((index, name) in self._open for index in holders):
            return ModelState.READY, ""
        if self._losses.keys() >= set(holders):
            lost = "; ".join(f"group {self._table.id_of(i)}: {self._losses[i]}" for i in holders)
            return ModelState.UNAVAILABLE, f"all its groups are lost ({lost})"
        return ModelState.LOADING, "its groups are not open"


def _shorter(known: ModelInterface | None, other: ModelInterface) -> ModelInterface:
    """Groups may have room for different lengths; what all of them take can go to any of them."""
    if known is None or known.generation is None or other.generation is None:
        return other
    return min(known, other, key=lambda one: one.generation.max_model_len)


def _generation(interface: GenerationInterface | None) -> GenerationView | None:
    if interface is None:
        return None
    return GenerationView(interface.max_model_len, interface.vocab_size, interface.eos_ids)
