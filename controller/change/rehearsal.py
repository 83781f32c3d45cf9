"""A change of plan, step by step, before it is carried out: by the supervisor's rules, if all goes well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from scheduling.changes.names import keep_names
from scheduling.changes.residency import Memory
from scheduling.reconcile import Reconciler
from vocabulary.placement import Placement
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    GiveUp,
    GroupEnded,
    GroupStarted,
    LoadModels,
    ModelsLoaded,
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

# A placement of thousands of groups takes a few rounds each.
_MAX_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """steps: in order, in words. interrupted: models that would be without a replica for a while; the change
    is not begun for them unless that is allowed, and then the steps are those with it allowed."""

    steps: tuple[str, ...]
    interrupted: tuple[str, ...]


def rehearse(current: Placement, wanted: Placement, *, memory: Memory) -> Rehearsal:
    """From a fleet that runs `current` and nothing else. Pure; takes no time but the computer's."""
    wanted = keep_names(current, wanted)
    steps = _performed(current, wanted, memory, may_interrupt=False)
    interrupted = tuple(
        sorted({model for step in steps if isinstance(step, GiveUp) for model in step.models})
    )
    if interrupted:
        steps = _performed(current, wanted, memory, may_interrupt=True)
    words = tuple(sentence for step in steps for sentence in _words(step))
    return Rehearsal(words, interrupted)


def _performed(current: Placement, wanted: Placement, memory: Memory, *, may_interrupt: bool) -> list[Step]:
    machine = Reconciler(RestartPolicy(), memory=memory)
    for group in current.groups:
        machine.observe(GroupStarted(group))
    machine.observe(Desired(current))
    machine.decide(0.0)
    machine.observe(Desired(wanted, may_interrupt))
    done: list[Step] = []
    for _ in range(_MAX_ROUNDS):
        steps = machine.decide(0.0)
        done += steps
        heard = [event for step in steps for event in _heard(step)]
        if not heard:
            return done
        for event in heard:
            machine.observe(event)
    raise AssertionError(f"no end after {_MAX_ROUNDS} rounds: {done[-3:]}")


def _heard(step: Step) -> tuple[StepEvent, ...]:
    """What becomes of it."""
    match step:
        case StartGroups(groups):
            return tuple(GroupStarted(group) for group in groups)
        case StopGroup(group_id):
            return (GroupEnded(group_id),)
        case LoadModels(group_id, models):
            return (ModelsLoaded(group_id, models),)
        case UnloadModels(group_id, models):
            return (ModelsUnloaded(group_id, models),)
        case CloseReplica(group_id, model):
            return (ReplicaIdle(group_id, model),)
        case OpenReplica() | GiveUp() | Converged():
            return ()
        case _:
            assert_never(step)


def _words(step: Step) -> tuple[str, ...]:
    match step:
        case StartGroups(groups):
            return tuple(f"start {group.id} with {', '.join(group.models) or 'nothing'}" for group in groups)
        case StopGroup(group_id):
            return (f"stop {group_id}",)
        case LoadModels(group_id, models):
            return (f"load {', '.join(models)} on {group_id}",)
        case UnloadModels(group_id, models):
            return (f"unload {', '.join(models)} from {group_id}",)
        case OpenReplica(group_id, model):
            return (f"open {model} on {group_id}",)
        case CloseReplica(group_id, model):
            return (f"close {model} on {group_id} and let it finish",)
        case GiveUp() | Converged():
            return ()
        case _:
            assert_never(step)
