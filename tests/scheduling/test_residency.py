"""What models take of a group's devices, as profiles and page budgets say."""

from __future__ import annotations

from dataclasses import replace

from scheduling.changes.residency import DeploymentMemory, room_for
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.profile import ProfileEntry, Provenance, profile_of

TWO = ParallelConfig(1, 2)
GROUP = Group("g0", ("n-0:0", "n-0:1"), TWO, ("plain",))


def model(
    name: str, weights: tuple[int, int], *, num_pages: int | None = None, is_text: bool = False
) -> ModelSpec:
    steps = (StepTimes(0.1, 0.1, 0.1),) * 2 if is_text else ()
    entry = ProfileEntry(TWO, weights, {}, {1: (0.1, 0.1)}, steps, (2, 1) if is_text else ())
    profile = profile_of(name, "cpu", [entry], provenance=Provenance())
    settings = GenerationSettings(num_pages=num_pages, page_tokens=4)
    return ModelSpec(name, profile=profile, generation=settings)


DEPLOYMENT = Deployment(
    "memory",
    Cluster((NodeClass("n", 1, "cpu", 2, 1000),)),
    (
        model("plain", (100, 200)),
        model("large", (700, 850)),
        model("told", (50, 50), num_pages=10, is_text=True),
        model("filling", (100, 100), is_text=True),
        ModelSpec("unknown"),
    ),
)
MEMORY = DeploymentMemory(lambda: DEPLOYMENT)


def with_models(*models: str) -> Group:
    return replace(GROUP, models=models)


def test_weights_and_told_pages_count_on_every_stage() -> None:
    assert MEMORY.usable(GROUP) == (1000, 1000)
    assert MEMORY.taken(with_models("plain", "told")) == {"plain": (100, 200), "told": (130, 90)}


def test_a_pool_without_a_size_takes_what_is_left_and_nothing_fits_beside_it() -> None:
    taken = MEMORY.taken(with_models("filling"))
    assert taken is not None and 990 < taken["filling"][0] <= 1000
    assert room_for(("plain",), GROUP, taken, MEMORY) == {}


def test_a_pool_without_a_size_fits_beside_what_is_there() -> None:
    there = {"plain": (100, 200)}
    assert list(room_for(("filling",), GROUP, there, MEMORY)) == ["filling"]


def test_of_models_that_do_not_all_fit_the_first_ones_do() -> None:
    assert list(room_for(("plain", "large", "told"), GROUP, {}, MEMORY)) == ["plain", "told"]
    assert room_for(("large",), GROUP, {"plain": (100, 200)}, MEMORY) == {}


def test_a_model_that_nobody_has_profiled_fits_nowhere() -> None:
    assert MEMORY.taken(with_models("unknown")) is None
    assert list(room_for(("unknown", "plain"), GROUP, {}, MEMORY)) == ["plain"]


def test_a_device_that_the_cluster_has_not_has_no_memory() -> None:
    assert MEMORY.usable(replace(GROUP, devices=("n-0:0", "n-9:0"))) == (1000, 0)
