"""Steps from what a fleet runs to what it should run (`scheduling.reconcile`), and what becomes of them.

Groups are known by their id. A group of the same id on other devices, or in another configuration, is another
group: the old one is stopped before it starts.
"""

from __future__ import annotations

import msgspec

from vocabulary.placement import Group, Placement

# Events: what is wanted, and what was observed.


class Desired(msgspec.Struct, frozen=True):
    """Run this from now on. may_interrupt: a model may be without a replica where there is no other way."""

    placement: Placement
    may_interrupt: bool = False


class DevicesChanged(msgspec.Struct, frozen=True):
    """These devices are there now; groups on others cannot start, and stay lost."""

    devices: frozenset[str]


class GroupStarted(msgspec.Struct, frozen=True):
    """The group runs, and all of its models are warm; also of one that was found running."""

    group: Group


class GroupEnded(msgspec.Struct, frozen=True):
    """The group does not run: it was stopped, could not be started, or died. why: empty if it was stopped."""

    group_id: str
    why: str = ""


class ModelsLoaded(msgspec.Struct, frozen=True):
    """These are resident on the group and warm."""

    group_id: str
    models: tuple[str, ...]


class ModelsNotLoaded(msgspec.Struct, frozen=True):
    """`LoadModels` failed; the group is as it was."""

    group_id: str
    models: tuple[str, ...]
    why: str


class ModelsUnloaded(msgspec.Struct, frozen=True):
    group_id: str
    models: tuple[str, ...]


class ReplicaIdle(msgspec.Struct, frozen=True):
    """Nothing of a model that was closed on a group runs or waits there any more, or its time was up."""

    group_id: str
    model: str


# Commands.


class StartGroups(msgspec.Struct, frozen=True):
    """All at once: on an empty fleet, the groups share what they read."""

    groups: tuple[Group, ...]


class StopGroup(msgspec.Struct, frozen=True):
    group_id: str


class LoadModels(msgspec.Struct, frozen=True):
    """Into a group that runs, while its other models serve."""

    group_id: str
    models: tuple[str, ...]


class UnloadModels(msgspec.Struct, frozen=True):
    group_id: str
    models: tuple[str, ...]


class OpenReplica(msgspec.Struct, frozen=True):
    """Requests of the model may go there."""

    group_id: str
    model: str


class CloseReplica(msgspec.Struct, frozen=True):
    """No more requests of the model go there; tell with ReplicaIdle when those it has are done."""

    group_id: str
    model: str


class GiveUp(msgspec.Struct, frozen=True):
    """The group failed too often; it stays as it is until something else is desired. Or no order of steps
    leads on without an interruption: `models` would be without a replica. For people, and for the planner.

    load: the model that it did not load; then the group itself, with what it holds, goes on.
    """

    group_id: str
    why: str
    models: tuple[str, ...] = ()
    load: str = ""


class Converged(msgspec.Struct, frozen=True):
    """What runs is what is desired, but for what was given up. Said once each time it becomes so."""


StepEvent = (
    Desired
    | DevicesChanged
    | GroupStarted
    | GroupEnded
    | ModelsLoaded
    | ModelsNotLoaded
    | ModelsUnloaded
    | ReplicaIdle
)
Step = StartGroups | StopGroup | LoadModels | UnloadModels | OpenReplica | CloseReplica | GiveUp | Converged


class RestartPolicy(msgspec.Struct, frozen=True):
    """How a group that dies, or does not start, is built again: `serving.health.restarts`.

    After the n-th failure within `within_s` it waits backoff_s * 2 ** (n - 1), at most max_backoff_s;
    after more than `max_restarts` of them it is given up.
    """

    max_restarts: int = 5
    within_s: float = 600.0
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
