"""What a change of plan will do, told before: the steps of the real rules, and who would be interrupted."""

from __future__ import annotations

from controller.change.rehearsal import rehearse
from scheduling.changes.residency import EndlessMemory
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement


def group(group_id: str, models: str, *devices: str) -> Group:
    return Group(group_id, devices or (group_id,), ParallelConfig(1, len(devices) or 1), tuple(models))


def steps(current: list[Group], wanted: list[Group]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = rehearse(Placement(tuple(current)), Placement(tuple(wanted)), memory=EndlessMemory())
    return found.steps, found.interrupted


def test_nothing_to_do_is_no_step():
    assert steps([group("g0", "ab")], [group("g0", "ab")]) == ((), ())


def test_a_model_more_is_loaded_and_opened():
    assert steps([group("g0", "a")], [group("g0", "ab")]) == (("load b on g0", "open b on g0"), ())


def test_a_model_moves_without_an_interruption():
    told, interrupted = steps([group("g0", "a"), group("g1", "b")], [group("g0", ""), group("g1", "ab")])
    assert interrupted == ()
    assert told.index("open a on g1") < told.index("close a on g0 and let it finish")


def test_the_only_group_of_a_model_that_is_cut_anew_interrupts_it():
    told, interrupted = steps([group("g0", "a", "d0")], [group("g1", "a", "d0", "d1")])
    assert interrupted == ("a",)
    assert told == ("close a on g0 and let it finish", "stop g0", "start g1 with a", "open a on g1")


def test_a_replica_elsewhere_bridges_the_change():
    told, interrupted = steps(
        [group("g0", "a", "d0"), group("g1", "b", "d1")],
        [group("g2", "a", "d0", "d2"), group("g1", "b", "d1")],
    )
    assert interrupted == ()
    assert "load a on g1" in told
