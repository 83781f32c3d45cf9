"""Whether models fit into the memory of a group, stage by stage and device by device."""

from __future__ import annotations

import pytest

from vocabulary.catalog import Catalog
from vocabulary.deployment import Deployment, ModelSpec, Policy
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.fit import check_fit, stage_bytes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import Profile, ProfileEntry

TWO_STAGES = ParallelConfig(1, 2)
PROFILE = Profile(
    "m",
    "cpu",
    {
        TWO_STAGES: ProfileEntry(
            TWO_STAGES, (60, 40), {1: (5, 5), 4: (20, 20)}, {1: (0.1, 0.1), 4: (0.2, 0.2)}
        )
    },
)


def deployment(*, memory_bytes: int = 100, reserve: float = 0.0, **settings) -> Deployment:
    cluster = Cluster((NodeClass("n", 1, "cpu", 2, memory_bytes),), reserve)
    models = tuple(ModelSpec(name, profile=PROFILE) for name in ("a", "b"))
    return Deployment("fleet", cluster, (*models, ModelSpec("unprofiled", source="x")), **settings)


def group(*models: str, config: ParallelConfig = TWO_STAGES) -> Placement:
    devices = tuple(f"n-0:{index}" for index in range(config.num_devices))
    return Placement((Group("g0", devices, config, models),))


def test_weights_of_a_group_add_up_by_stage():
    catalog = Catalog({"a": PROFILE, "b": PROFILE})
    assert stage_bytes(TWO_STAGES, ("a", "b"), catalog=catalog) == (120, 80)
    assert stage_bytes(TWO_STAGES, (), catalog=catalog) == (0, 0)


def test_of_activations_the_largest_counts_once():
    catalog = Catalog({"a": PROFILE, "b": PROFILE})
    sizes = {1: (125, 85), 2: (140, 100), 4: (140, 100), 64: (140, 100)}
    for batch_size, expected in sizes.items():
        found = stage_bytes(TWO_STAGES, ("a", "b"), catalog=catalog, activation_batch_size=batch_size)
        assert found == expected, batch_size


def test_a_group_that_fills_its_devices_exactly_fits():
    check_fit(group("a"), deployment(memory_bytes=60))
    check_fit(group("a"), deployment(memory_bytes=120, reserve=0.5))
    check_fit(group(), deployment(memory_bytes=1))


def test_an_overflow_names_group_stage_device_and_bytes():
    with pytest.raises(Infeasible) as caught:
        check_fit(group("a", "b"), deployment(memory_bytes=110, reserve=0.1))
    assert caught.value.exit_code == 3
    assert caught.value.message == (
        "group g0 does not fit: stage 0 needs 120 bytes (120 B) on device n-0:0, which has 99 (99 B) after "
        "10% in reserve; device memory binds"
    )
    assert caught.value.hint == "take a model off g0 (the largest is a), or raise its tensor or pipeline"


def test_activations_count_when_asked_for():
    check_fit(group("a"), deployment(memory_bytes=60))
    with pytest.raises(Infeasible, match="needs 65 bytes"):
        check_fit(group("a"), deployment(memory_bytes=60, count_activations=True))
    batching = deployment(memory_bytes=65, count_activations=True, policy=Policy(batching="deadline"))
    with pytest.raises(Infeasible, match="needs 80 bytes"):
        check_fit(group("a"), batching)


def test_a_model_without_profile_or_configuration_is_refused():
    with pytest.raises(InvalidInput, match="model unprofiled has no profile"):
        check_fit(group("unprofiled"), deployment())
    with pytest.raises(InvalidInput, match=r"the profile of a has no \(tensor 1, pipeline 1\)"):
        check_fit(group("a", config=ParallelConfig()), deployment())
