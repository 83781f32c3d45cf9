"""What clients see of each model, made anew when a group or a model opens or closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from controller.calls import GenerationView, ModelState, ModelView
from controller.fleet import Pulse
from vocabulary.deployment import ModelSpec
from vocabulary.placement import Placement
from workers.engine import GenerationInterface, ModelInterface


@final
class ModelBoard:
    """Knows which groups are open or lost and which models users took out of service. `changed` beats."""

    def __init__(self, models: Iterable[ModelSpec], placement: Placement) -> None:
        self.changed = Pulse()
        self.views: Mapping[str, ModelView] = {}
        self._aliases = {model.name: model.aliases for model in models}
        self._placement = placement
        self._interfaces: dict[str, ModelInterface] = {}
        self._open: set[int] = set()
        self._losses: dict[int, str] = {}
        self._closed: set[str] = set()
        self.refresh()

    def open_group(self, group_index: int, interfaces: Mapping[str, ModelInterface]) -> None:
        self._open.add(group_index)
        self._losses.pop(group_index, None)
        for name, interface in interfaces.items():
            self._interfaces[name] = _shorter(self._interfaces.get(name), interface)
        self.refresh()

    def lose_group(self, group_index: int, why: str) -> None:
        self._open.discard(group_index)
        self._losses[group_index] = why
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
        return group_index in self._open

    def are_all_served(self) -> bool:
        """Every model that is placed has an open group; a lost replica of several is no reason to say no."""
        groups = self._placement.groups
        held = {model for index in self._open for model in groups[index].models}
        return held == self._placement.models

    def is_closed(self, name: str) -> bool:
        return name in self._closed

    def is_known(self, name: str) -> bool:
        """What it takes is known, since one of its groups was open."""
        return name in self._interfaces

    def refresh(self) -> None:
        """New views under every name and alias, and a beat for who watches them."""
        views = {name: self._same_or_new(name) for name in self._aliases}
        self.views = views | {alias: views[name] for name in views for alias in self._aliases[name]}
        self.changed.beat()

    def _same_or_new(self, name: str) -> ModelView:
        """The object that is known already, while nothing about the model changes."""
        new, old = self._view(name), self.views.get(name)
        return old if old == new else new

    def _view(self, name: str) -> ModelView:
        state, why = self._state(name)
        interface = self._interfaces.get(name)
        if interface is None:
            return ModelView(name, (), (), state=state, state_reason=why)
        return ModelView(
            name,
            interface.inputs,
            interface.outputs,
            platform=interface.platform,
            state=state,
            state_reason=why,
            generation=_generation(interface.generation),
        )

    def _state(self, name: str) -> tuple[ModelState, str]:
        holders = self._placement.holders(name)
        if not holders:
            return ModelState.UNAVAILABLE, "no group of the placement holds it"
        if name in self._closed:
            return ModelState.UNAVAILABLE, "unloaded"
        if not self._open.isdisjoint(holders):
            return ModelState.READY, ""
        if self._losses.keys() >= set(holders):
            lost = "; ".join(f"group {self._placement.groups[i].id}: {self._losses[i]}" for i in holders)
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
