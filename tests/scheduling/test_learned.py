"""What lone batches teach of the profile."""

from __future__ import annotations

from scheduling.learned import LearnedCorrections
from vocabulary.catalog import Catalog
from vocabulary.correction import Correction
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of

CONFIG = ParallelConfig(1, 2)
PLACEMENT = Placement(
    (Group("g0", ("n:0", "n:1"), CONFIG, ("a",)), Group("g1", ("n:2", "n:3"), CONFIG, ("a",)))
)


def machine(stages_s: tuple[float, ...] = (1.0, 3.0)) -> LearnedCorrections:
    batches = {1: stages_s, 4: tuple(2 * seconds for seconds in stages_s)}
    entry = ProfileEntry(CONFIG, (1, 1), {}, batches)
    profile = profile_of("a", "cpu", [entry], provenance=Provenance("measured"))
    return LearnedCorrections(dict(enumerate(PLACEMENT.groups)), catalog=Catalog({"a": profile}))


def test_nothing_observed_is_nothing_learned() -> None:
    assert machine().found() == {}


def test_factor_is_the_median_of_lone_batches_by_group() -> None:
    learning = machine()
    for number, took_s in enumerate((4.4, 40.0, 4.0, 4.8, 4.4)):
        assert learning.observe("a", 0, start_s=100.0 * number, finish_s=100.0 * number + took_s)
    learning.observe("a", 1, start_s=0.0, finish_s=2.0)
    assert learning.found() == {("a", 0): Correction(1.1, 5), ("a", 1): Correction(0.5, 1)}


def test_batch_behind_another_does_not_count() -> None:
    learning = machine()
    assert learning.observe("a", 0, start_s=0.0, finish_s=4.0)
    assert not learning.observe("a", 0, start_s=1.0, finish_s=7.0)
    assert not learning.observe("a", 0, start_s=4.0, finish_s=10.0)  # the second ran until 7
    assert learning.observe("a", 0, start_s=10.0, finish_s=14.0)
    assert learning.found() == {("a", 0): Correction(1.0, 2)}


def test_requests_of_one_batch_count_once_and_by_its_size() -> None:
    learning = machine()
    counted = [learning.observe("a", 0, start_s=0.0, finish_s=8.0, batch_size=3) for _ in range(3)]
    assert counted == [True, False, False]
    assert learning.found() == {("a", 0): Correction(1.0, 1)}


def test_stages_that_take_no_time_have_no_factor() -> None:
    learning = machine((0.0, 0.0))
    assert not learning.observe("a", 0, start_s=0.0, finish_s=0.0)
    assert learning.found() == {}


def test_old_batches_are_forgotten() -> None:
    learning = machine()
    for number in range(600):
        took_s = 4.0 if number < 300 else 8.0
        learning.observe("a", 0, start_s=10.0 * number, finish_s=10.0 * number + took_s)
    assert learning.found()["a", 0].factor == 2.0


def test_a_model_that_has_left_finishes_what_it_has_and_teaches_nothing() -> None:
    learned = machine()
    learned.adopt(Catalog({}))
    assert not learned.observe("a", 0, start_s=0.0, finish_s=4.0)
    assert learned.found() == {}
