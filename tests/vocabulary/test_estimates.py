"""Which models' numbers rest on an estimate."""

from __future__ import annotations

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.estimates import estimated_models
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of

ONE = ParallelConfig(1, 1)


def profile(kind: str) -> Profile:
    return profile_of("m", "cpu", [ProfileEntry(ONE, (1,), {}, {1: (1.0,)})], provenance=Provenance(kind))


def fleet(**kinds: str) -> Deployment:
    models = tuple(ModelSpec(name, profile=profile(kind)) for name, kind in kinds.items())
    return Deployment("f", Cluster((NodeClass("n", 1, "cpu", 4, 100),)), models)


def placed(*groups: tuple[str, ...]) -> Placement:
    return Placement(tuple(Group(f"g{i}", (f"n-0:{i}",), ONE, models) for i, models in enumerate(groups)))


def test_measured_and_imported_profiles_are_no_estimates() -> None:
    assert estimated_models(fleet(a="measured", b="imported"), placed(("a", "b"))) == frozenset()


def test_who_waits_behind_an_estimate_is_one_too() -> None:
    deployment = fleet(a="measured", b="estimated", c="measured", d="measured")
    assert estimated_models(deployment, placed(("a", "b"), ("c",), ("c", "d"))) == {"a", "b"}


def test_of_a_completed_profile_only_the_configurations_that_nobody_measured_are_estimates() -> None:
    two = ParallelConfig(1, 2)
    entries = [ProfileEntry(ONE, (1,), {}, {1: (1.0,)}),
               ProfileEntry(two, (1, 1), {}, {1: (1.0, 1.0)}, is_estimated=True)]  # fmt: skip
    completed = profile_of("m", "cpu", entries, provenance=Provenance("measured"))
    deployment = Deployment("f", fleet().cluster, (ModelSpec("a", profile=completed),))
    assert estimated_models(deployment, placed(("a",))) == set()
    wide = Placement((Group("g", ("n-0:0", "n-0:1"), two, ("a",)),))
    assert estimated_models(deployment, wide) == {"a"}
    assert completed.has_estimates


def test_an_estimated_model_without_a_group_and_a_model_without_a_profile() -> None:
    deployment = fleet(a="estimated")
    assert estimated_models(deployment, placed()) == {"a"}
    assert (
        estimated_models(Deployment("f", deployment.cluster, (ModelSpec("x", source="y"),)), placed())
        == set()
    )
