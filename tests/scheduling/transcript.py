"""Stories of one machine as text: events that people write, commands that the machine answers, indented.

    # A line that starts with # is a comment.
    model a 1:0.5 2:0.8               a model's stage latencies by batch size; 1:0.2,0.3 has two stages
    group g0 stages=1 a b             a group and its models, in plan order
    policy queue=edf                  fields of Policy
    machine cluster                   or a group's id

    t=0.000 arrive 0 a slo=0.5        then events; adjacent lines of one time are one instant
        forward 0 to g0, ends 0.500   what `decide` answers to the instant; - when it answers nothing

Events of the cluster: open, lose, remove GROUP; add GROUP stages=1 a b; open, close GROUP MODEL; arrive ID
MODEL [slo=] [deadline=]; cancel ID; begin ID ...; settle ID FATE.
Events of a group: arrive, cancel; free; finish BATCH [failed].
"""

from __future__ import annotations

from itertools import groupby
from typing import assert_never

from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.scheduling.fleets import BySize, catalog_of, group_of, placement_of
from vocabulary.deployment import Policy
from vocabulary.messages import (
    Arrived,
    BatchFinished,
    Begun,
    Cancelled,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupAdded,
    GroupCommand,
    GroupEvent,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
    Reply,
    RunBatch,
    Settle,
    Settled,
    StageFreed,
    Withdraw,
)
from vocabulary.request import Fate, Request

INDENT = "    "


def retold(story: str) -> str:
    """The story with the machine's answers of today in place of those in the text."""
    lines = [line for line in story.splitlines() if not line.startswith(INDENT)]
    machine = _machine(lines)
    told: list[str] = []
    for time, adjacent in groupby(lines, key=_time_of):
        told.extend(instant := list(adjacent))
        if time is not None:
            for line in instant:
                machine.observe(_event(line))
            answers = [_text(command) for command in machine.decide(float(time))]
            told.extend(INDENT + answer for answer in answers or ["-"])
    return "\n".join(told) + "\n"


def _time_of(line: str) -> str | None:
    return line.split()[0].removeprefix("t=") if line.startswith("t=") else None


def _machine(lines: list[str]) -> ClusterScheduler | GroupScheduler:
    models: dict[str, tuple[BySize, ...]] = {}
    groups: list[tuple[int, str]] = []
    policy, name = Policy(), ""
    for line in lines:
        match line.split():
            case ["model", model, *by_size]:
                models[model] = (*models.get(model, ()), _by_size(by_size))
            case ["group", group, stages, *held]:
                assert group == f"g{len(groups)}", f"groups are g0, g1, ... in order, not {group}"
                groups.append((int(stages.removeprefix("stages=")), " ".join(held)))
            case ["policy", *fields]:
                policy = _policy(fields)
            case ["machine", name]:
                pass
    catalog, placement = catalog_of(models), placement_of(*groups)
    if name == "cluster":
        return ClusterScheduler(placement, catalog=catalog, policy=policy)
    return GroupScheduler(placement.groups[_index(name)], catalog=catalog, policy=policy)


def _by_size(words: list[str]) -> BySize:
    pairs = (word.split(":") for word in words)
    return {int(size): tuple(float(seconds) for seconds in stages.split(",")) for size, stages in pairs}


def _policy(fields: list[str]) -> Policy:
    types = {"slack_s": float, "max_batch_size": int, "max_queued_requests": int}
    pairs = (field.split("=") for field in fields)
    return Policy(**{name: types.get(name, str)(value) for name, value in pairs})


def _event(line: str) -> ClusterEvent | GroupEvent:
    match line.split():
        case [time, "arrive", request_id, model, *limits]:
            seconds = {name + "_s": float(value) for name, value in (limit.split("=") for limit in limits)}
            return Arrived(Request(int(request_id), model, float(time.removeprefix("t=")), **seconds))
        case [_, "cancel", request_id]:
            return Cancelled(int(request_id))
        case [time, "settle", request_id, fate]:
            return Settled(int(request_id), Fate(fate), float(time.removeprefix("t=")))
        case [_, "begin", *request_ids]:
            return Begun(tuple(int(request_id) for request_id in request_ids))
        case [_, "add", group, stages, *held]:
            index, num_stages = _index(group), int(stages.removeprefix("stages="))
            return GroupAdded(index, group_of(index, num_stages, " ".join(held)))
        case [_, "open", group, model]:
            return ReplicaOpened(_index(group), model)
        case [_, "close", group, model]:
            return ReplicaClosed(_index(group), model)
        case [_, "remove", group]:
            return GroupRemoved(_index(group))
        case [_, "open", group]:
            return GroupOpened(_index(group))
        case [_, "lose", group]:
            return GroupLost(_index(group))
        case [_, "free"]:
            return StageFreed()
        case [_, "finish", batch_id, *failed]:
            return BatchFinished(int(batch_id), failed=failed == ["failed"])
    raise ValueError(f"not an event: {line!r}")


def _index(group: str) -> int:
    return int(group.removeprefix("g"))


def _text(command: ClusterCommand | GroupCommand) -> str:
    match command:
        case Forward(request, index, finish_s):
            return f"forward {request.id} to g{index}, ends {finish_s:.3f}"
        case Withdraw(request_id, index):
            return f"withdraw {request_id} from g{index}"
        case Reply(request_id, fate, index):
            return f"reply {request_id} {fate.value}" + ("" if index is None else f" by g{index}")
        case RunBatch(batch):
            return f"run batch {batch.id} of {batch.model}: {' '.join(str(r.id) for r in batch.requests)}"
        case Settle(request_ids, fate):
            return f"settle {fate.value}: {' '.join(str(request_id) for request_id in request_ids)}"
        case _:
            assert_never(command)
