"""A fleet finds its own in Ray by their names, and nothing of others."""

from __future__ import annotations

import json

from controller.on_ray.memory import RayMemory, read_memory
from controller.on_ray.names import GroupName, groups_among, namespace_of
from controller.on_ray.nouns import HostNode


def test_fleets_of_one_name_have_namespaces_of_their_own():
    assert namespace_of("f", "one key") == namespace_of("f", "one key")
    assert namespace_of("f", "one key") != namespace_of("f", "another")
    assert namespace_of("f", "one key").startswith("statmux-f-")
    assert "one key" not in namespace_of("f", "one key")


def test_actors_are_put_together_to_groups_whatever_the_groups_are_called():
    one, other = GroupName("a/b", "1f"), GroupName("g", "2e")
    names = [one.actor(1), other.actor(0), one.actor(0)]
    assert groups_among(names) == {one: 2, other: 1}


def test_a_group_that_has_lost_a_process_is_none():
    name = GroupName("g", "1f")
    assert groups_among([name.actor(1)]) == {}
    assert groups_among([name.actor(0), name.actor(2)]) == {}
    assert groups_among(["somebody's actor", "a/b", ""]) == {}


def test_what_is_remembered_is_read_as_it_was():
    hosts = {"n-0": HostNode("n-0", "id", "10.0.0.1", "CPU")}
    memory = RayMemory(
        "10.0.0.1:6379", "statmux-f", "/tmp/statmux-1", 7, {"n-0": 4}, hosts, {"g": ("g/1/0",)}
    )
    assert read_memory(json.loads(json.dumps(memory.to_json()))) == memory
    assert memory.is_local


def test_what_another_version_remembered_is_not_read():
    for document in (None, {}, {"version": 0}, {"version": 1}, {"version": 1, "hosts": 3}, [1], "text"):
        assert read_memory(document) is None
