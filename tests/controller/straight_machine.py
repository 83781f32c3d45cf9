"""A stand-in for reconciliation: starts what is desired and not there, opens what started, stops the rest."""

from __future__ import annotations

from typing import final

from vocabulary.placement import Group
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    GroupEnded,
    GroupStarted,
    OpenReplica,
    ReplicaIdle,
    StartGroups,
    Step,
    StepEvent,
    StopGroup,
)
from vocabulary.units import NEVER_S


@final
class StraightMachine:
    """No backoff, no limits, no care."""

    def __init__(self) -> None:
        self.heard: list[StepEvent] = []
        self._desired: dict[str, Group] = {}
        self._state: dict[str, str] = {}
        self._groups: dict[str, Group] = {}
        self._steps: list[Step] = []

    wake_s = NEVER_S

    def observe(self, event: StepEvent) -> None:
        self.heard.append(event)
        match event:
            case Desired(placement):
                self._desired = {group.id: group for group in placement.groups}
            case GroupStarted(group):
                self._state[group.id] = "open"
                self._groups[group.id] = group
                self._steps += [OpenReplica(group.id, model) for model in group.models]
            case GroupEnded(group_id):
                self._state.pop(group_id, None)
            case ReplicaIdle(group_id):
                self._state[group_id] = "stopping"
                self._steps.append(StopGroup(group_id))
            case _:
                pass

    def decide(self, now_s: float) -> list[Step]:
        steps, self._steps = self._steps, []
        new = tuple(group for name, group in self._desired.items() if name not in self._state)
        if new:
            self._state.update({group.id: "starting" for group in new})
            steps.append(StartGroups(new))
        for name, state in self._state.items():
            if state == "open" and name not in self._desired:
                self._state[name] = "closing"
                steps += [CloseReplica(name, model) for model in self._groups[name].models]
        if self._desired and self._state == dict.fromkeys(self._desired, "open"):
            steps.append(Converged())
        return steps
