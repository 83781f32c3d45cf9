"""Models that a group machine learns and forgets, and how long it needs for what it holds."""

from __future__ import annotations

import pytest

from scheduling.group import GroupScheduler
from vocabulary.catalog import Catalog
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.messages import Arrived, BatchFinished, RunBatch, StageFreed
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.request import Request

CONFIG = ParallelConfig(1, 2)
LIMITS = GenerationLimits(num_pages=64, page_tokens=16, max_sequences=8, max_batched_tokens=64)


def catalog(**stages_s: tuple[float, float]) -> Catalog:
    profiles = {}
    for name, one in stages_s.items():
        times = tuple(StepTimes(stage_s, 0.0) for stage_s in one)
        entry = ProfileEntry(CONFIG, (1, 1), {}, {1: one}, step_times=times)
        profiles[name] = profile_of(name, "cpu", [entry], provenance=Provenance("imported"))
    return Catalog(profiles)


CATALOG = catalog(a=(0.2, 0.1), b=(0.1, 0.4), chat=(0.01, 0.02))


def group(*models: str, batching: str = "none", limits: dict | None = None) -> GroupScheduler:
    policy = Policy(admission="none", batching=batching, max_batch_size=4)
    one = Group("g", ("n-0:0", "n-0:1"), CONFIG, models)
    return GroupScheduler(one, catalog=CATALOG, policy=policy, limits=limits)


def started(machine: GroupScheduler, now_s: float) -> list[tuple[str, tuple[int, ...]]]:
    found = []
    for command in machine.decide(now_s):
        assert isinstance(command, RunBatch), command
        found.append((command.batch.model, tuple(one.id for one in command.batch.requests)))
    return found


@pytest.mark.parametrize("batching", ["none", "deadline"])
def test_a_model_that_is_added_is_served_as_one_that_was_there(batching: str):
    machine, whole = (
        group("a", batching=batching),
        group("a", "b", "chat", batching=batching, limits={"chat": LIMITS}),
    )
    machine.add_model("b", catalog=CATALOG)
    machine.add_model("chat", catalog=CATALOG, limits=LIMITS)
    assert machine.models == whole.models == ("a", "b", "chat")
    requests = [
        Request(1, "b", 0.0),
        Request(2, "a", 0.0),
        Request(3, "chat", 0.0, input_tokens=5, output_tokens=3),
        Request(4, "b", 0.0),
    ]
    for one in (machine, whole):
        for request in requests:
            one.observe(Arrived(request))
    for number in range(4):
        now_s = float(number)
        assert machine.backlog_s(now_s) == whole.backlog_s(now_s)
        commands = machine.decide(now_s)
        assert commands == whole.decide(now_s)
        for command in commands:
            if isinstance(command, RunBatch):
                for one in (machine, whole):
                    one.observe(StageFreed())
                    one.observe(BatchFinished(command.batch.id))


@pytest.mark.parametrize("batching", ["none", "deadline"])
def test_a_model_is_forgotten_and_may_come_again(batching: str):
    machine = group("a", "b", "chat", batching=batching, limits={"chat": LIMITS})
    machine.observe(Arrived(Request(1, "b", 0.0)))
    assert started(machine, 0.0) == [("b", (1,))]
    machine.observe(StageFreed())
    machine.observe(BatchFinished(0))
    machine.decide(1.0)
    for model in ("b", "chat"):
        assert machine.has(model)
        machine.remove_model(model)
        assert not machine.has(model)
    assert machine.models == ("a",)
    assert machine.waiting_by_model() == {"a": 0}
    assert not machine.generation_schedulers
    machine.add_model("b", catalog=CATALOG)
    machine.observe(Arrived(Request(2, "b", 2.0)))
    assert started(machine, 2.0) == [("b", (2,))]


def test_the_backlog_is_that_of_the_stage_with_most_to_do():
    machine = group("a", "b")
    assert machine.backlog_s(0.0) == 0.0
    for number, model in enumerate("aabb"):
        machine.observe(Arrived(Request(number, model, 0.0)))
    # Stage 0: 2 x 0.2 + 2 x 0.1; stage 1: 2 x 0.1 + 2 x 0.4.
    assert machine.backlog_s(0.0) == pytest.approx(1.0)
    machine.decide(0.0)
    # One of a is in the stages, until 0.3 in the second.
    assert machine.backlog_s(0.0) == pytest.approx(0.3 + 0.1 + 0.8)
    assert machine.backlog_s(0.2) == pytest.approx(0.1 + 0.1 + 0.8)


def test_the_backlog_of_answers_is_their_steps_as_many_at_once_as_fit():
    machine = group("chat", limits={"chat": LIMITS})
    machine.observe(Arrived(Request(0, "chat", 0.0, input_tokens=10, output_tokens=20)))
    assert machine.backlog_s(0.0) == pytest.approx(20 * 0.02)
    for number in range(1, 16):
        machine.observe(Arrived(Request(number, "chat", 0.0, input_tokens=10, output_tokens=20)))
    # Eight at once, of sixteen.
    assert machine.backlog_s(0.0) == pytest.approx(2 * 20 * 0.02)
    assert started(machine, 0.0)
    machine.observe(StageFreed())
    machine.observe(BatchFinished(0))
    machine.decide(0.1)
    assert machine.backlog_s(0.1) < 2 * 20 * 0.02 + 0.03
