from dataclasses import replace

import numpy as np
import pytest

from placement.feasible_changes import Remedy, can_be_in_time, can_hold, smallest_changes
from placement.search import search
from placement.why_limits import impossible_slo
from tests.placement.fleets import LATENCY_S, deployment, model, profile, requests
from vocabulary.deployment import Deployment, Slo
from vocabulary.errors import Infeasible
from vocabulary.generation import StepTimes
from vocabulary.mesh import Cluster
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Provenance, profile_of, profile_on_types
from vocabulary.rules import PlacementRules
from vocabulary.trace import Trace


def changes(fleet: Deployment) -> dict[str, float]:
    return {one.kind: one.after for one in smallest_changes(fleet, can_hold)}


def test_a_model_larger_than_a_device_needs_just_its_bytes() -> None:
    fleet = deployment(model("a", 130, (1, 1)), num_devices=1, memory_bytes=100)
    assert not can_hold(fleet)
    # More devices do not help a model that knows one device only, nor do longer SLOs.
    assert changes(fleet) == {"memory_bytes": 130}


def test_a_reserve_is_counted_into_the_bytes() -> None:
    fleet = deployment(model("a", 90, (1, 1)), num_devices=1, memory_bytes=100, reserve=0.25)
    assert changes(fleet) == {"memory_bytes": 120}


def test_a_model_that_can_be_split_needs_devices_or_bytes() -> None:
    fleet = deployment(model("a", 400, (1, 1), (1, 2), (1, 4)), num_devices=1, memory_bytes=100)
    assert changes(fleet) == {"devices": 4, "memory_bytes": 400}


def test_devices_come_in_whole_hosts() -> None:
    fleet = deployment(model("a", 300, (1, 6)), num_hosts=1, num_devices=2, memory_bytes=50)
    assert changes(fleet)["devices"] == 6


def test_required_replicas_that_do_not_fit_together_need_more_of_either() -> None:
    fleet = deployment(model("a", 60, (1, 1), min_replicas=3), num_devices=1, memory_bytes=100)
    # A replica each on three devices; one device never holds two.
    assert changes(fleet) == {"devices": 3}
    pair = deployment(
        model("a", 60, (1, 1), min_replicas=1),
        model("b", 70, (1, 1), min_replicas=1),
        num_devices=1,
        memory_bytes=100,
    )
    assert changes(pair) == {"devices": 2, "memory_bytes": 130}


def test_what_can_be_held_is_what_a_search_finds_a_place_for() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        models = [
            model(name, int(rng.integers(20, 400)), min_replicas=int(rng.integers(0, 3))) for name in "ab"
        ]
        fleet = deployment(*models, num_devices=int(rng.integers(1, 5)))
        try:
            search(fleet, requests({"a": 1.0, "b": 1.0}, duration_s=10.0))
            is_found = True
        except Infeasible:
            is_found = False
        assert can_hold(fleet) == is_found, fleet
        seen.add(is_found)
    assert seen == {True, False}


def test_rules_count_for_what_can_be_held() -> None:
    pair = deployment(model("a", 60, (1, 1)), model("b", 70, (1, 1)), num_devices=2, memory_bytes=100)
    fleet = replace(pair, rules=PlacementRules(colocate=(("a", "b"),)))
    assert can_hold(pair)
    assert not can_hold(fleet)
    assert changes(fleet) == {"memory_bytes": 130}
    with pytest.raises(Infeasible, match=r"2 devices that hold a model under placement\.constraints"):
        search(fleet, requests({"a": 1.0, "b": 1.0}, duration_s=10.0))


def test_an_slo_below_every_latency_needs_as_much_longer() -> None:
    fleet = deployment(model("a", 60, (1, 1), slo=Slo(LATENCY_S / 2, attainment=0.9)))
    assert not can_be_in_time(fleet)
    (remedy,) = smallest_changes(fleet, can_be_in_time)
    assert remedy.kind == "slo_scale"
    assert remedy.after == pytest.approx(2.0, rel=0.001)
    assert remedy.after >= 2.0


def test_a_pin_to_devices_that_a_profile_is_not_of_is_told() -> None:
    fleet = deployment(model("a", 20), num_devices=1)
    (node,) = fleet.cluster.nodes
    nodes = (node, replace(node, name="m", device_type="gpu"))
    spec = replace(fleet.models[0], profile=profile_on_types({"cpu": profile(20, (1, 1))}))
    rules = PlacementRules(pin={"a": frozenset({"m-0:0"})})
    two = replace(fleet, cluster=Cluster(nodes), models=(spec,), rules=rules)
    with pytest.raises(Infeasible, match="a is pinned to devices of gpu, its profile is for cpu"):
        search(two, requests({"a": 1.0}, duration_s=10.0))


def test_only_the_slos_in_question_count_where_nobody_asks_for_an_attainment() -> None:
    hurry = Slo(LATENCY_S / 2)
    fleet = deployment(model("a", 60, (1, 1), slo=hurry), model("b", 60, (1, 1)), num_devices=1)
    assert can_be_in_time(fleet)
    assert not can_be_in_time(fleet, [0])
    assert can_be_in_time(fleet, [1])
    (longer,) = smallest_changes(fleet, lambda changed: can_be_in_time(changed, [0]))
    assert longer.kind == "slo_scale"
    assert longer.after == pytest.approx(2.0, rel=1e-3)


def test_an_slo_of_tokens_below_every_step_needs_as_much_longer() -> None:
    entry = replace(profile(60, (1, 1)).entries[ParallelConfig()], step_times=(StepTimes(0.01, 0.001),))
    spec = model("a", 60, slo=Slo(tpot_s=0.0055, attainment=0.9))
    made = profile_of("any", "cpu", [entry], provenance=Provenance())
    fleet = deployment(replace(spec, profile=made), num_devices=1)
    assert "slo.tpot_ms of a (5.5 ms) is below its quickest step, 11.0 ms" in impossible_slo(fleet, 0)
    (longer,) = smallest_changes(fleet, can_be_in_time)
    assert (longer.kind, round(longer.after, 2)) == ("slo_scale", 2.0)


def test_a_fleet_that_nothing_helps_has_no_remedy() -> None:
    assert smallest_changes(deployment(model("a", 1)), lambda _: False) == ()


def test_only_what_would_help_is_tried_far_from_what_there_is() -> None:
    asked: list[int] = []

    def has_five_hosts(fleet: Deployment) -> bool:
        asked.append(fleet.cluster.nodes[0].count)
        return fleet.cluster.nodes[0].count >= 5

    (remedy,) = smallest_changes(deployment(model("a", 1), num_devices=2), has_five_hosts)
    assert remedy == Remedy("devices", 2, 10, "n")
    assert max(asked) < 10


def test_sentences_have_the_numbers() -> None:
    assert Remedy("devices", 2, 10, "n").sentence == "10 devices of n instead of 2"
    larger = Remedy("memory_bytes", 13 * 2**30, 14 * 2**30).sentence
    assert larger.startswith("14.0 GiB a device instead of 13.0 GiB")
    assert Remedy("slo_scale", 1.0, 2.0041).sentence == "SLOs 2.005 times as long"


def test_empty_traffic_is_no_reason() -> None:
    nobody = Trace(np.zeros(0), np.zeros(0, dtype=np.int32), ("a",))
    assert can_hold(deployment(model("a", 1))) == bool(search(deployment(model("a", 1)), nobody).placement)
