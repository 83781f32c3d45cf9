"""Weights for new replicas from living ones: real processes, groups of other shapes, sources that die."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.resharding.host_crew import host_crew
from tests.resharding.transport.crew import Crew
from tests.workers.weight_errands import load
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from workers.multicast import STORE, Multicast, Replica
from workers.spec import WorkerSpec

SOURCES = {"bert": "random://bert-tiny?seed=3", "gpt2": "random://gpt2-tiny?seed=4"}


def group(name: str, tensor: int, pipeline: int, *, num_hosts: int = 1) -> Group:
    per_host = tensor * pipeline // num_hosts
    devices = tuple(f"{name}-{number // per_host}:{number % per_host}" for number in range(tensor * pipeline))
    return Group(name, devices, ParallelConfig(tensor, pipeline), tuple(SOURCES))


def spec_of(one: Group) -> WorkerSpec:
    models = tuple(ModelSpec(name, source=source, engine="jax") for name, source in SOURCES.items())
    return WorkerSpec(one, models, Catalog({}), Policy(), "jax", "cpu", "/", "a key", "")


OLD, WIDE, LONG = group("old", 2, 1), group("wide", 4, 1), group("long", 1, 2)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Two on one host, two elsewhere."""
    with host_crew("a", "a", "b", "c") as made:
        yield made


def replica(one: Group, crew: Crew, *members: int) -> Replica:
    return Replica(one, tuple(crew.group[member] for member in members))


def test_several_new_replicas_of_other_shapes_get_all_models_at_once(crew: Crew):
    multicast = Multicast(
        tuple(SOURCES), (replica(OLD, crew, 0),), (replica(WIDE, crew, 1), replica(LONG, crew, 2)), 1
    )
    for member, one in enumerate((OLD, WIDE, LONG)):
        expected = tuple(SOURCES) if member else ()
        crew.members[member].start(load, spec_of(one), expected, [multicast])
    assert [crew.members[member].result() for member in range(3)] == ["read"] * 3
    for member in range(3):
        loads, faults = crew.members[member].result()
        assert faults == []
        assert {one.model: one.origin for one in loads} == dict.fromkeys(SOURCES, "old" if member else STORE)
        assert all(one.num_bytes > 0 and one.seconds > 0 and not one.why for one in loads)


def test_living_replicas_share_the_sending_and_a_group_over_two_hosts_gets_its_stages(crew: Crew):
    far = group("far", 1, 2, num_hosts=2)
    multicast = Multicast(
        ("bert",), (replica(OLD, crew, 0), replica(LONG, crew, 1)), (replica(far, crew, 2, 3),), 2
    )
    parts = ((OLD, 0), (LONG, 0), (far, 0), (far, 1))
    for member, (one, place) in enumerate(parts):
        expected = ("bert",) if one is far else ()
        crew.members[member].start(load, spec_of(one), expected, [multicast], place)
    assert [member.result() for member in crew.members] == ["read"] * 4
    for member, (one, _) in zip(crew.members, parts, strict=True):
        loads, faults = member.result()
        assert faults == []
        origins = {each.model: each.origin for each in loads}
        assert origins == {"bert": "old, long" if one is far else STORE, "gpt2": STORE}


def test_what_a_dying_source_does_not_bring_is_read_from_the_store():
    with host_crew("a", "b", "c", timeout_s=5.0, nics={0: 1e6}) as crew:
        multicast = Multicast(
            tuple(SOURCES), (replica(OLD, crew, 0),), (replica(WIDE, crew, 1), replica(LONG, crew, 2)), 1
        )
        for member, one in enumerate((OLD, WIDE, LONG)):
            crew.members[member].start(load, spec_of(one), tuple(SOURCES) if member else (), [multicast])
        assert [crew.members[member].result() for member in range(3)] == ["read"] * 3
        crew.members[0].signal(signal.SIGKILL)
        for member in (1, 2):
            loads, faults = crew.members[member].result()
            assert faults == []
            assert {one.origin for one in loads} == {STORE}
            assert all(one.why.startswith("from old: ") for one in loads)
