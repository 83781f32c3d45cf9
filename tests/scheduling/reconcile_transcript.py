"""Stories of reconciliation as text: events that people write, steps that the machine answers, indented.

    memory 8 a=3 b=4                  bytes of a device, and of each model (split over the stages)
    t=0 want g0:d0:a,b g1:d1+d2:a     groups: id, devices, models; want! allows interruptions
        start g0 g1                   what `decide` answers; - when it answers nothing
        wakes 1.5                     where it asks to be woken

Events: started GROUP (as wanted last) or ID:DEVICES:MODELS; ended GROUP [why]; loaded, unloaded, idle GROUP
MODEL ...; not-loaded GROUP MODEL why; devices d0 d1 ...; wake. Adjacent lines of one time are one instant.
"""

from __future__ import annotations

from itertools import groupby
from typing import assert_never

from scheduling.reconcile import Reconciler
from tests.scheduling.toy_world import ToyMemory, group_of
from vocabulary.placement import Group, Placement
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    DevicesChanged,
    GiveUp,
    GroupEnded,
    GroupStarted,
    LoadModels,
    ModelsLoaded,
    ModelsNotLoaded,
    ModelsUnloaded,
    OpenReplica,
    ReplicaIdle,
    RestartPolicy,
    StartGroups,
    Step,
    StepEvent,
    StopGroup,
    UnloadModels,
)
from vocabulary.units import NEVER_S

INDENT = "    "


def retold(story: str) -> str:
    """The story with the machine's answers of today in place of those in the text."""
    return "\n".join(_Teller(story).told()) + "\n"


class _Teller:
    def __init__(self, story: str) -> None:
        self._lines = [line for line in story.splitlines() if not line.startswith(INDENT)]
        self._wanted: dict[str, Group] = {}
        self._memory = ToyMemory({}, device_bytes=0)
        self._policy = RestartPolicy(max_restarts=2, within_s=100.0)

    def told(self) -> list[str]:
        told: list[str] = []
        for line in self._lines:
            match line.split():
                case ["memory", num_bytes, *sizes]:
                    pairs = (size.split("=") for size in sizes)
                    self._memory = ToyMemory({name: int(size) for name, size in pairs}, int(num_bytes))
        machine = Reconciler(self._policy, memory=self._memory, drain_timeout_s=10.0)
        for time, adjacent in groupby(self._lines, key=_time_of):
            told.extend(instant := list(adjacent))
            if time is None:
                continue
            for line in instant:
                for event in self._events(line):
                    machine.observe(event)
            answers = [_text(step) for step in machine.decide(float(time))]
            told.extend(INDENT + answer for answer in answers or ["-"])
            if machine.wake_s < NEVER_S:
                told.append(f"{INDENT}wakes {machine.wake_s:g}")
        return told

    def _events(self, line: str) -> list[StepEvent]:
        match line.split():
            case [_, "want" | "want!" as want, *groups]:
                placement = Placement(tuple(_group(group) for group in groups))
                self._wanted = {group.id: group for group in placement.groups}
                return [Desired(placement, want == "want!")]
            case [_, "started", group]:
                return [GroupStarted(_group(group) if ":" in group else self._wanted[group])]
            case [_, "ended", group, *why]:
                return [GroupEnded(group, " ".join(why))]
            case [_, "loaded", group, *models]:
                return [ModelsLoaded(group, tuple(models))]
            case [_, "not-loaded", group, model, *why]:
                return [ModelsNotLoaded(group, (model,), " ".join(why))]
            case [_, "unloaded", group, *models]:
                return [ModelsUnloaded(group, tuple(models))]
            case [_, "idle", group, *models]:
                return [ReplicaIdle(group, model) for model in models]
            case [_, "devices", *devices]:
                return [DevicesChanged(frozenset(devices))]
            case [_, "wake"]:
                return []
        raise ValueError(f"not an event: {line!r}")


def _time_of(line: str) -> str | None:
    return line.split()[0].removeprefix("t=") if line.startswith("t=") else None


def _group(text: str) -> Group:
    group_id, devices, models = text.split(":")
    return group_of(group_id, devices.replace("+", " "), models.replace(",", " "))


def _text(step: Step) -> str:
    match step:
        case StartGroups(groups):
            return "start " + " ".join(f"{group.id}:{','.join(group.models)}" for group in groups)
        case StopGroup(group_id):
            return f"stop {group_id}"
        case LoadModels(group_id, models):
            return f"load {' '.join(models)} into {group_id}"
        case UnloadModels(group_id, models):
            return f"unload {' '.join(models)} from {group_id}"
        case OpenReplica(group_id, model):
            return f"open {model} on {group_id}"
        case CloseReplica(group_id, model):
            return f"close {model} on {group_id}"
        case GiveUp(group_id, why, models):
            return f"give up {group_id}: {why}" + (f" [{' '.join(models)}]" if models else "")
        case Converged():
            return "converged"
        case _:
            assert_never(step)
