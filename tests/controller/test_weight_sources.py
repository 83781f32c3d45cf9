"""When weights come from living replicas, and when from the store: by estimate and measured speed."""

from __future__ import annotations

import dataclasses

import pytest

from controller.on_ray.weight_sources import STORE_BYTES_PER_S, Reached, WeightSources
from resharding.transport.endpoints import Endpoint
from tests.controller.ray_fleet import deployment, group, specs_of
from vocabulary.deployment import ModelSpec
from vocabulary.mesh import Links
from vocabulary.parallel import ParallelConfig
from workers.multicast import STORE, Load

ONE, TWO_STAGES = ParallelConfig(1, 1), ParallelConfig(1, 2)
GB = 10**9


def reached(name: str, *devices: str, models: str = "a", weight_bytes: int = GB) -> Reached:
    config = TWO_STAGES if len(devices) == 2 else ONE
    fleet = deployment(engine="jax", count=4, weight_bytes=weight_bytes)
    (spec,) = specs_of(fleet, group(name, devices, config, models))
    return Reached(spec, (Endpoint(name, "address", 1, "", b""),))


def sources_on(bandwidth_bytes_per_s: float = 12.5e9) -> WeightSources:
    cluster = deployment(count=4).cluster
    return WeightSources(dataclasses.replace(cluster, links=Links(bandwidth_bytes_per_s)))


FIRST, SECOND, THIRD = (reached(f"g{host}", f"n-{host}:0", models="ab") for host in range(3))


def test_the_first_reads_and_sends_to_the_others_at_once():
    (found,) = sources_on().choose([FIRST, SECOND, THIRD], [])
    assert found.models == ("a", "b")
    assert [one.group.id for one in found.sources] == ["g0"]
    assert [one.group.id for one in found.targets] == ["g1", "g2"]
    assert [one.host for one in found.members] == ["g0", "g1", "g2"]


def test_all_living_replicas_send():
    (found,) = sources_on().choose([THIRD], [FIRST, SECOND])
    assert found.origin == "g0, g1"
    assert [one.group.id for one in found.targets] == ["g2"]


def test_models_with_other_holders_come_in_multicasts_of_their_own_in_one_order():
    lone = reached("lone", "n-3:0", models="b")
    found = sources_on().choose([THIRD], [reached("other", "n-0:1"), lone])
    assert [(one.models, one.origin) for one in found] == [(("a",), "other"), (("b",), "lone")]
    assert len({one.epoch for one in found}) == 2


def test_over_a_slow_network_everybody_reads_the_store():
    assert sources_on(0.5 * STORE_BYTES_PER_S).choose([FIRST, SECOND], []) == ()
    assert sources_on(0.5 * STORE_BYTES_PER_S).choose([SECOND], [FIRST]) == ()


def test_what_is_small_is_not_worth_a_transfer():
    small = [reached(f"g{host}", f"n-{host}:0", weight_bytes=10**6) for host in range(2)]
    assert sources_on().choose(small[1:], small[:1]) == ()


def test_groups_of_one_host_read_a_file_once():
    neighbours = [reached(f"g{device}", f"n-0:{device}") for device in range(2)]
    assert sources_on().choose(neighbours, []) == ()


def test_a_store_that_was_measured_fast_is_read():
    sources = sources_on()
    assert sources.choose([SECOND], [FIRST])
    sources.learn([Load("a", STORE, 50 * GB, 1.0), Load("b", STORE, 80 * GB, 1.0), Load("c", "g0", 1, 1.0)])
    assert sources.store_bytes_per_s == 50 * GB
    assert sources.choose([SECOND], [FIRST]) == ()
    sources.learn([])
    assert sources.store_bytes_per_s == 50 * GB


def test_a_users_own_function_makes_its_weights_itself():
    models = (ModelSpec("a", source="python://mine:build"),)
    own = [
        dataclasses.replace(one, spec=dataclasses.replace(one.spec, models=models)) for one in (FIRST, SECOND)
    ]
    assert sources_on().choose(own[1:], own[:1]) == ()


@pytest.mark.parametrize("models", ["a", "b"])
def test_a_model_without_a_profile_for_the_group_is_read(models: str):
    wide = reached("wide", "n-1:0", models=models)
    unknown = dataclasses.replace(
        wide, spec=dataclasses.replace(wide.spec, catalog=type(wide.spec.catalog)({}))
    )
    assert sources_on().choose([unknown], [FIRST]) == ()
