from dataclasses import replace

import pytest

from placement.groups import carve, hosts_of
from placement.memory import Memory
from tests.placement.fleets import ONE_DEVICE_ONLY, deployment, model
from vocabulary.deployment import Deployment, Parallelism
from vocabulary.errors import Infeasible
from vocabulary.fit import check_fit
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of


def fitting(fleet: Deployment, config: ParallelConfig, *held: int) -> list[bool]:
    mesh = carve(hosts_of(fleet.cluster), config)[0]
    return Memory(fleet, fleet.catalog()).fitting(mesh, held).tolist()


def test_models_fit_up_to_the_last_byte() -> None:
    fleet = deployment(model("a", 60), model("b", 40), model("c", 41))
    assert fitting(fleet, ParallelConfig(), 0) == [False, True, False]


def test_a_model_is_not_placed_twice_on_one_group() -> None:
    assert fitting(deployment(model("a", 1)), ParallelConfig(), 0) == [False]


def test_every_stage_must_hold_its_part() -> None:
    uneven = [
        ProfileEntry(ParallelConfig(1, 2), stages, {}, {1: (0.1, 0.1)}) for stages in ((80, 20), (20, 80))
    ]
    profiles = [profile_of("x", "cpu", [entry], provenance=Provenance()) for entry in uneven]
    models = [replace(model(name, 1), profile=one) for name, one in zip("ab", profiles, strict=True)]
    assert fitting(deployment(*models), ParallelConfig(1, 2), 0) == [False, True]


def test_a_model_stays_off_configurations_it_may_not_use() -> None:
    fleet = deployment(model("a", 4, parallelism=ONE_DEVICE_ONLY), model("b", 4, (1, 2)))
    assert fitting(fleet, ParallelConfig()) == [True, False]
    assert fitting(fleet, ParallelConfig(1, 2)) == [False, True]


def test_a_model_stays_inside_a_host_when_asked_to() -> None:
    near = model("a", 4, parallelism=Parallelism(cross_node=False))
    few = model("b", 4, parallelism=Parallelism(max_devices=1))
    fleet = deployment(near, few, model("c", 4), num_hosts=2, num_devices=1)
    assert fitting(fleet, ParallelConfig(1, 2)) == [False, False, True]


@pytest.mark.parametrize("count_activations", [False, True])
def test_activations_count_once_and_only_when_asked_for(count_activations: bool) -> None:
    entry = ProfileEntry(ParallelConfig(), (30,), {1: (40,)}, {1: (0.1,)})
    one = profile_of("x", "cpu", [entry], provenance=Provenance())
    models = [replace(model(name, 1), profile=one) for name in "abc"]
    fleet = replace(deployment(*models), count_activations=count_activations)
    assert fitting(fleet, ParallelConfig(), 0) == [False, True, True]
    assert fitting(fleet, ParallelConfig(), 0, 1) == [False, False, not count_activations]


@pytest.mark.parametrize(("held", "fits"), [((0, 1), True), ((0, 2), False)])
def test_the_search_and_the_check_of_plans_agree(held: tuple[int, ...], fits: bool) -> None:
    fleet = deployment(model("a", 60), model("b", 40), model("c", 41))
    assert fitting(fleet, ParallelConfig(), held[0])[held[1]] is fits
    group = Group("g0", ("n-0:0",), ParallelConfig(), tuple(fleet.model_names[index] for index in held))
    if fits:
        check_fit(Placement((group,)), fleet)
    else:
        with pytest.raises(Infeasible):
            check_fit(Placement((group,)), fleet)
