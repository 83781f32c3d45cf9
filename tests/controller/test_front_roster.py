"""What further front ends are told of groups: as it changes, and whole for one that starts later."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import msgspec
import pytest

from controller.calls import InferCall, Reason
from controller.front.channel import fleets_end, fronts_end
from controller.front.front import Front
from controller.front.front_ends import FrontEnds
from controller.front.roster import FrontRoster
from controller.front.words import (
    AddGroup,
    Adopt,
    Close,
    CloseReplica,
    DropReplica,
    FromFront,
    GiveUp,
    Idle,
    Leave,
    LoseGroup,
    Opened,
    OpenGroup,
    OpenReplica,
    Pulse,
    RemoveGroup,
    Start,
    ToFront,
    Totals,
    Troubled,
)
from controller.journal import NoJournal, RequestLine
from controller.life.members import Members
from controller.metrics import Judged
from controller.ports import PortInUse, Sharing, listen
from tests.live.fleet_files import write_small_fleet
from vocabulary.formats.disk import load_deployment
from vocabulary.generation import GenerationLimits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.steps import RestartPolicy
from vocabulary.tensors import TensorSpec
from workers.engine import ModelInterface
from workers.link import MemoryLink
from workers.spec import Address

ONE = ParallelConfig(1, 1)
INTERFACE = ModelInterface((TensorSpec("x", "INT32", (1,)),), (TensorSpec("y", "INT32", (1,)),), "test")
INTERFACES = {"a": INTERFACE, "b": INTERFACE}
LIMITS = GenerationLimits(num_pages=4, page_tokens=8, max_batched_tokens=16, max_sequences=2)
ADDRESS = Address(socket_path="/run/g")
LINK = MemoryLink(lambda frame: None)


def group(group_id: str, models: str = "ab") -> Group:
    return Group(group_id, (f"n-0:{group_id}",), ONE, tuple(models))


def roster() -> tuple[FrontRoster, list[object]]:
    said: list[object] = []
    return FrontRoster(said.append, address_of=lambda index: ADDRESS), said


def test_every_change_is_said_as_it_happens() -> None:
    told, said = roster()
    told.add_group(3, group("g"), {"b": LIMITS})
    told.open_group(3, LINK, INTERFACES)
    told.close_replica(3, "a")
    told.drop_replica(3, "a")
    told.open_replica(3, "c", INTERFACE, None)
    told.give_up(["d"])
    told.lose_group(3, "it died")
    told.remove_group(3)
    assert said == [
        AddGroup(3, group("g"), {"b": LIMITS}),
        OpenGroup(3, ADDRESS, INTERFACES),
        CloseReplica(3, "a"),
        DropReplica(3, "a"),
        OpenReplica(3, "c", INTERFACE, None),
        GiveUp(("d",)),
        LoseGroup(3, "it died"),
        RemoveGroup(3),
    ]


def test_one_that_starts_later_is_told_what_is_there_now() -> None:
    told, _ = roster()
    for index in range(3):
        told.add_group(index, group(f"g{index}"), {})
    told.open_group(0, LINK, INTERFACES)
    told.close_replica(0, "a")
    told.open_replica(0, "c", INTERFACE, LIMITS)
    told.open_group(1, LINK, INTERFACES)
    told.lose_group(1, "it died")
    told.remove_group(2)
    assert list(told.words()) == [
        AddGroup(0, group("g0", "abc"), {"c": LIMITS}),
        OpenGroup(0, ADDRESS, {**INTERFACES, "c": INTERFACE}, closed=("a",)),
        AddGroup(1, group("g1"), {}),
    ]


def test_a_model_that_left_a_group_is_not_told_of_any_more() -> None:
    told, _ = roster()
    told.add_group(0, group("g"), {"a": LIMITS})
    told.open_group(0, LINK, INTERFACES)
    told.close_replica(0, "a")
    told.drop_replica(0, "a")
    assert list(told.words()) == [
        AddGroup(0, group("g", "b"), {}),
        OpenGroup(0, ADDRESS, INTERFACES),
    ]


def deployment(tmp_path: Any) -> Any:
    return load_deployment(write_small_fleet(tmp_path) / "deployment.yaml")


def test_every_word_arrives_as_it_was_sent(tmp_path) -> None:
    served = deployment(tmp_path)
    to_front = [
        Start(served, 7, 1, "key", ".statmux/small/control.sock"),
        AddGroup(0, group("g"), {"b": LIMITS}),
        OpenGroup(0, ADDRESS, INTERFACES, closed=("a",)),
        OpenReplica(0, "c", INTERFACE, LIMITS),
        LoseGroup(0, "it died"),
        Leave(),
    ]
    totals = {"a": Totals(1, 2, 0.5, Judged(1, 2))}
    from_front = [Opened("127.0.0.1:9"), Pulse(3, totals, (RequestLine("r", "a", 0.0, 0.1),)), Idle()]

    async def talk() -> tuple[list[object], list[object]]:
        mine, its = socket.socketpair()
        fleet, front = await fleets_end(mine), await fronts_end(its)
        for word in to_front:
            fleet.send(word)
        fleet.end()
        heard_there = [word async for word in front.words()]
        # It has last words after the other end has said all.
        for word in from_front:
            front.send(word)
        await front.flushed()
        front.close()
        heard_here = [word async for word in fleet.words()]
        fleet.close()
        return heard_there, heard_here

    assert asyncio.run(talk()) == (to_front, from_front)


def test_words_are_told_apart_by_their_tags() -> None:
    for union in (ToFront, FromFront):
        tags = [msgspec.inspect.type_info(word).tag for word in get_args(union)]
        assert len(set(tags)) == len(tags), tags


class NoDemand:
    """Loads nothing."""

    def asked(self, model: str) -> float | None:
        return None


def front_ends(num_further: int) -> FrontEnds:
    return FrontEnds(
        num_further,
        members=Members(Placement(())),
        next_front=lambda: 0,
        journal=NoJournal(),
        restarts=RestartPolicy(),
        clock=lambda: 0.0,
        answered=lambda line: None,
        demand=NoDemand(),
    )


def test_without_further_front_ends_nothing_is_started_and_nothing_added(tmp_path) -> None:
    async def live() -> dict[str, Any]:
        alone = front_ends(0)
        alone.start(deployment(tmp_path), key="key", control="")
        await alone.opened()
        alone.start_leaving()
        alone.start_draining()
        await alone.until_idle()
        await alone.close()
        return alone.added_to({"models": {}, "num_pending": 4}, lambda model: Judged())

    assert asyncio.run(live()) == {"models": {}, "num_pending": 4}


def test_status_counts_what_all_have_answered() -> None:
    told = {"num_served": 3, "num_failed": 1, "slo_attainment": 1.0, "mean_latency_s": 0.2}
    status = {"state": "ready", "num_pending": 1, "problems": [], "models": {"a": told}}
    further = front_ends(1)
    further._past["a"] = Totals(1, 0, 1.0, Judged(0, 1))
    added = further.added_to(status, lambda model: Judged(3, 0))
    assert json.loads(json.dumps(added["models"]["a"])) == {
        "num_served": 4,
        "num_failed": 1,
        "slo_attainment": 0.75,
        "mean_latency_s": pytest.approx(0.4),
    }


def test_a_port_is_shared_with_further_front_ends_and_with_nobody_else() -> None:
    words = {"key": "endpoints.http", "flag": "--http-port"}
    (first,) = listen("127.0.0.1", 0, sharing=Sharing.FIRST, **words)
    port = first.getsockname()[1]
    (further,) = listen("127.0.0.1", port, sharing=Sharing.FURTHER, **words)
    for stranger in (Sharing.ALONE, Sharing.FIRST):
        with pytest.raises(PortInUse, match=str(port)):
            listen("127.0.0.1", port, sharing=stranger, **words)
    first.close()
    further.close()


def test_a_front_end_that_asks_for_a_model_that_will_not_be_loaded_is_told_so() -> None:
    further = front_ends(1)
    said: list[object] = []
    further._processes[1] = SimpleNamespace(say=said.append)
    further._ask(1, "a")
    assert said == [GiveUp(("a",))]


def test_a_tokenizer_that_cannot_be_read_ends_no_front_end_and_stands_in_the_status(tmp_path) -> None:
    served = deployment(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tokenizer.json").write_text("{")
    model = replace(served.models[0], name="new", source=str(broken))
    changed = replace(served, models=(*served.models, model))
    said: list[object] = []

    async def live() -> None:
        front = Front(Start(served, 7, 1, "key", "control.sock"), SimpleNamespace(send=said.append))
        await front.hear(Adopt(changed))
        await front.hear(Adopt(served))

    asyncio.run(live())
    first, last = said
    assert "tokenizer.json" in first.why
    assert last == Troubled("")
    further = front_ends(1)
    further._hear_trouble(1, first.why)
    status = {"state": "ready", "num_pending": 0, "problems": [], "models": {}}
    added = further.added_to(status, lambda model: Judged())
    assert added["state"] == "degraded"
    assert "front end 1 did not take over all" in added["problems"][0]
    further._hear_trouble(1, last.why)
    assert further.added_to(status, lambda model: Judged())["state"] == "ready"


def test_every_front_end_says_of_an_unloaded_model_that_it_is_not_loaded(tmp_path) -> None:
    served = deployment(tmp_path)
    name = served.models[0].name
    further = front_ends(1)
    for closed in ({name, "gone"}, {name}):
        further.close_models(closed)
    assert further._greeting() == [Close((name,))], "also one that starts later"

    async def live() -> list[object]:
        front = Front(Start(served, 7, 1, "key", "control.sock"), SimpleNamespace(send=lambda word: None))
        told = []
        for word in (*further._greeting(), Close(())):
            await front.hear(word)
            told.append((await front._server.infer(InferCall("", name, "", ()))).reason)
        return told

    assert asyncio.run(live()) == [Reason.NOT_LOADED, Reason.NOT_PLACED]
