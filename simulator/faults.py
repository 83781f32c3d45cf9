"""What may happen to a fleet while it serves a trace, and what becomes of the requests then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from simulator.faults_shell import FaultyShell
from simulator.generation.arrivals import limits_of_groups
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Group, Placement
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S


@dataclass(frozen=True, slots=True)
class Loss:
    """The group's process dies, and that is noticed at once; it is back, empty, at `opens_s`."""

    at_s: float
    group_index: int
    opens_s: float = NEVER_S


@dataclass(frozen=True, slots=True)
class Stall:
    """The group's process neither hears nor says anything until `until_s`, or until it is killed.

    It is, and counts as lost, when it has been silent for the beat time-out; then it is back at `opens_s`.
    """

    at_s: float
    group_index: int
    until_s: float = NEVER_S
    opens_s: float = NEVER_S


@dataclass(frozen=True, slots=True)
class Slowness:
    """Batches that start in between take `factor` times as long as their profile says."""

    at_s: float
    until_s: float
    group_index: int
    factor: float


@dataclass(frozen=True, slots=True)
class ReplicaOpens:
    """A model takes requests on a group, new there or closed before."""

    at_s: float
    group_index: int
    model: str


@dataclass(frozen=True, slots=True)
class ReplicaCloses:
    """A model takes no more requests on a group; those it has run on."""

    at_s: float
    group_index: int
    model: str


@dataclass(frozen=True, slots=True)
class GroupJoins:
    """A group that was not there opens. Its index is the next that none has had, in the order of time."""

    at_s: float
    group: Group


@dataclass(frozen=True, slots=True)
class GroupLeaves:
    """A group is stopped; close its replicas a while before, or what it holds is lost."""

    at_s: float
    group_index: int


Fault = Loss | Stall | Slowness | ReplicaOpens | ReplicaCloses | GroupJoins | GroupLeaves


def simulate_with_faults(
    deployment: Deployment,
    placement: Placement,
    trace: Trace,
    faults: Iterable[Fault] = (),
    *,
    beat_timeout_s: float | None = None,
) -> Outcomes:
    """As `simulator.simulate.simulate`, while faults happen: the same outcomes where there are none.

    A request that was given to two groups is told with the second. beat_timeout_s: that of the deployment's
    health if it is not given.
    """
    assert trace.models == deployment.model_names, "align the trace to the deployment first"
    timeout_s = deployment.health.beat_timeout_s if beat_timeout_s is None else beat_timeout_s
    ordered = sorted(faults, key=lambda fault: fault.at_s)
    # By index, with all models that they ever hold.
    groups = [*placement.groups, *(fault.group for fault in ordered if isinstance(fault, GroupJoins))]

    def limits_of(group: Group) -> Mapping[str, GenerationLimits]:
        # Groups may share devices, one after the other, so each is a placement of its own here.
        return limits_of_groups(Placement((group,)), trace, deployment=deployment)[0]

    shell = FaultyShell(
        placement, trace, deployment=deployment, limits=[limits_of(group) for group in groups]
    )
    index = len(placement.groups)
    for fault in ordered:
        match fault:
            case Loss(at_s, group_index, opens_s):
                shell.at(at_s, shell.lose, group_index)
                shell.at(opens_s, shell.open, group_index)
            case Stall(at_s, group_index, until_s, opens_s):
                shell.at(at_s, shell.freeze, group_index)
                if until_s < at_s + timeout_s:
                    shell.at(until_s, shell.thaw, group_index)
                else:
                    shell.at(at_s + timeout_s, shell.lose, group_index)
                    shell.at(opens_s, shell.open, group_index)
            case Slowness(at_s, until_s, group_index, factor):
                shell.at(at_s, shell.slow, group_index, factor)
                shell.at(until_s, shell.slow, group_index, 1.0)
            case ReplicaOpens(at_s, group_index, model):
                group = groups[group_index]
                if model not in group.models:
                    groups[group_index] = group = replace(group, models=(*group.models, model))
                added = limits_of(group).get(model)
                shell.at(at_s, shell.open_replica, group_index, model, added)
            case ReplicaCloses(at_s, group_index, model):
                shell.at(at_s, shell.close_replica, group_index, model)
            case GroupJoins(at_s, group):
                shell.at(at_s, shell.join, index, group)
                index += 1
            case GroupLeaves(at_s, group_index):
                shell.at(at_s, shell.leave, group_index)
    shell.run()
    return shell.outcomes()
