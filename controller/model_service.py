"""Which models take requests, as whoever asks for one to be loaded or unloaded has it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import final

from controller.calls import ModelState, Reason, Refusal
from controller.change.resident_models import Residency, performed
from controller.group_table import GroupTable
from controller.model_board import ModelBoard


@final
class ModelService:
    """Takes models into service and out of it, by the names that clients use."""

    def __init__(self, board: ModelBoard, table: GroupTable) -> None:
        self._board = board
        self._table = table
        # Who makes models resident; until it is there, what is resident stays so.
        self.residency: Residency | None = None
        # Hears of what is closed, when that changes.
        self.tell_closed: Callable[[frozenset[str]], None] = lambda closed: None

    async def load(self, model: str) -> Refusal | None:
        """Make the model resident and take it (back) into service; returns when it is READY."""
        if self.residency is not None:
            return await performed(self.residency.load(name) for name in self._board.own_names(model))
        return await self.take_in(model)

    async def unload(self, model: str) -> Refusal | None:
        """Take the model out of service, and give its memory back."""
        if self.residency is not None:
            return await performed(self.residency.unload(name) for name in self._board.own_names(model))
        self.close(model)
        return None

    async def take_in(self, model: str) -> Refusal | None:
        """What is resident goes into service; returns when it is READY."""
        for name in self._board.own_names(model):
            self._board.open_model(name)
        self.tell_closed(self.closed)
        while (view := self._board.views[model]).state is ModelState.LOADING:
            await self._board.changed.wait()
        if view.state is ModelState.READY:
            return None
        reason = Reason.UNAVAILABLE if self._table.holders(model) else Reason.NOT_PLACED
        return Refusal(reason, view.state_reason)

    def close(self, model: str) -> None:
        """Out of service. Its weights stay resident until the placement changes."""
        for name in self._board.own_names(model):
            self._board.close_model(name)
        self.tell_closed(self.closed)

    def close_only(self, models: Collection[str]) -> None:
        """These are out of service, and no others: another front end has it so."""
        for name in self.closed.difference(models):
            self._board.open_model(name)
        for name in models:
            self._board.close_model(name)

    @property
    def closed(self) -> frozenset[str]:
        """Models that were taken out of service and not back into it, by their own names."""
        return self._board.closed
