"""Steps after which no model is without an open replica that had one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from scheduling.changes.fleet import Fleet
from scheduling.changes.lives import Hold, Life, Phase
from scheduling.changes.residency import StageBytes
from vocabulary.steps import (
    CloseReplica,
    LoadModels,
    OpenReplica,
    StartGroups,
    Step,
    StopGroup,
    UnloadModels,
)


@final
class SafeSteps:
    """What the fleet can do next. It makes before it breaks, and breaks one thing at a time."""

    def __init__(self, fleet: Fleet, *, max_leaving: int) -> None:
        self._fleet = fleet
        self._max_leaving = max_leaving

    def next(self, now_s: float) -> list[Step]:
        """All that can be done now; again until there is nothing."""
        return [
            *self._open(),
            *self._close(now_s),
            *self._unload(),
            *self._stop(),
            *self._start(now_s),
            *self._load(now_s),
        ]

    def _open(self) -> Iterable[Step]:
        fleet = self._fleet
        for life in fleet.running():
            for model in () if life.is_leaving else life.held(Hold.LOADED, Hold.CLOSED, Hold.IDLE):
                is_needed = life.holds[model] is Hold.LOADED and fleet.is_desired(model)
                if fleet.is_wanted(life, model) or (is_needed and not fleet.is_served(model)):
                    life.holds[model] = Hold.OPEN
                    yield OpenReplica(life.group.id, model)

    def _unload(self) -> Iterable[Step]:
        for life in self._fleet.running():
            idle = life.held(Hold.LOADED, Hold.IDLE)
            if idle and life.may_change and self._fleet.target(life) is not None:
                life.holds.update(dict.fromkeys(idle, Hold.UNLOADING))
                yield UnloadModels(life.group.id, idle)

    def _stop(self) -> Iterable[Step]:
        for life in self._fleet.running():
            lasting = life.held(Hold.OPEN, Hold.CLOSED, Hold.LOADING, Hold.UNLOADING)
            if life.is_leaving and not lasting:
                life.phase = Phase.STOPPING
                yield StopGroup(life.group.id)

    def _start(self, now_s: float) -> Iterable[Step]:
        fleet = self._fleet
        starting = tuple(
            group
            for group in fleet.desired.values()
            if fleet.is_possible(group)
            and not fleet.blockers(group)
            and fleet.restarts.next_s((group.id, "")) <= now_s
        )
        for group in starting:
            fleet.start_life(group, Phase.STARTING)
        if starting:
            yield StartGroups(starting)

    def _load(self, now_s: float) -> Iterable[Step]:
        fleet = self._fleet
        for life in fleet.running():
            missing = fleet.missing(life) if life.may_change else ()
            due = [one for one in missing if fleet.restarts.next_s((life.group.id, one)) <= now_s]
            if due and not fleet.needs_restart(life) and (fitting := fleet.fitting(life, due)):
                yield self.load_into(life, fitting)

    def _close(self, now_s: float) -> Iterable[Step]:
        fleet = self._fleet
        fleet.bridges = {bridge for bridge in fleet.bridges if fleet.is_needed(bridge[1])}
        for life in fleet.running():
            if life.is_leaving:
                continue
            if fleet.target(life) is None or fleet.needs_restart(life):
                if self._may_leave(life):
                    yield from self.leave(life, now_s)
                continue
            for model in life.held(Hold.OPEN):
                if not fleet.is_wanted(life, model) and self._may_close(life, model):
                    yield self.close_one(life, model, now_s)

    def _may_close(self, life: Life, model: str) -> bool:
        fleet = self._fleet
        if not fleet.is_desired(model):
            return True
        if not fleet.is_served(model, but=life):
            return False
        return fleet.is_up(model) or (fleet.lacks_room(life) and not fleet.is_coming(model))

    def _may_leave(self, life: Life) -> bool:
        fleet = self._fleet
        missed = [model for model in life.held(Hold.OPEN) if fleet.is_desired(model)]
        if not missed:
            return True
        if self._num_missed() >= self._max_leaving or fleet.endangered(life, missed):
            return False
        return not any(fleet.is_coming(model) for model in missed)

    def _num_missed(self) -> int:
        """Groups that leave, and those that are lost, or were stopped for the plan, and will be back."""
        fleet = self._fleet
        num_leaving = sum(life.is_missed for life in fleet.lives.values() if life.is_leaving)
        return num_leaving + sum(fleet.is_returning(group) for group in fleet.desired.values())

    # Steps, and what is known once they are told.

    def load_into(self, life: Life, fitting: Mapping[str, StageBytes]) -> LoadModels:
        self._fleet.hold(life, fitting, Hold.LOADING)
        return LoadModels(life.group.id, tuple(fitting))

    def close_one(self, life: Life, model: str, now_s: float) -> CloseReplica:
        # Kept, it would open again in this very decision, and close again, without end.
        self._fleet.bridges.discard((life.group.id, model))
        life.holds[model] = Hold.CLOSED
        life.closed_s[model] = now_s
        return CloseReplica(life.group.id, model)

    def leave(self, life: Life, now_s: float) -> Iterable[Step]:
        serving = life.held(Hold.OPEN)
        life.is_leaving = True
        life.is_missed = any(self._fleet.is_desired(model) for model in serving)
        for model in serving:
            yield self.close_one(life, model, now_s)
