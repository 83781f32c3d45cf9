"""What clients see of a model while groups open, are lost and come back, and users load and unload."""

from __future__ import annotations

import pytest

from controller.calls import ModelState
from controller.group_table import GroupTable
from controller.model_board import ModelBoard
from vocabulary.deployment import ModelSpec
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from workers.emulated_engine import ECHO
from workers.engine import GenerationInterface, ModelInterface

MODELS = (ModelSpec("twice", aliases=("double",)), ModelSpec("once"), ModelSpec("never"))
PLACEMENT = Placement(
    (
        Group("g0", ("n-0:0",), ParallelConfig(1, 1), ("twice", "once")),
        Group("g1", ("n-0:1",), ParallelConfig(1, 1), ("twice",)),
    )
)


@pytest.fixture
def board() -> ModelBoard:
    return ModelBoard(MODELS, GroupTable(PLACEMENT))


def states(board: ModelBoard) -> list[str]:
    return [board.views[model.name].state.value for model in MODELS]


def test_models_load_until_a_group_of_theirs_is_open(board: ModelBoard):
    assert states(board) == ["LOADING", "LOADING", "UNAVAILABLE"]
    board.open_group(1, {"twice": ECHO})
    assert states(board) == ["READY", "LOADING", "UNAVAILABLE"]
    assert not board.are_all_served()
    board.open_group(0, {"twice": ECHO, "once": ECHO})
    assert states(board) == ["READY", "READY", "UNAVAILABLE"]
    assert board.are_all_served()


def test_a_model_is_there_as_long_as_one_of_its_groups_is(board: ModelBoard):
    for index in (0, 1):
        board.open_group(index, {"twice": ECHO, "once": ECHO})
    board.lose_group(0, "killed")
    assert states(board) == ["READY", "UNAVAILABLE", "UNAVAILABLE"]
    assert not board.are_all_served()
    assert board.views["once"].state_reason == "all its groups are lost (group g0: killed)"
    board.lose_group(1, "gone")
    assert board.views["double"].state_reason == "all its groups are lost (group g0: killed; group g1: gone)"
    board.open_group(0, {"twice": ECHO, "once": ECHO})
    assert states(board) == ["READY", "READY", "UNAVAILABLE"]


def test_what_a_model_takes_is_known_from_its_first_group_on(board: ModelBoard):
    assert board.views["twice"].inputs == () and not board.is_known("twice")
    board.open_group(1, {"twice": ECHO})
    board.lose_group(1, "killed")
    assert board.views["twice"].inputs == ECHO.inputs and board.is_known("twice")
    assert not board.is_known("never")


def test_a_model_out_of_service_is_unavailable_under_all_its_names(board: ModelBoard):
    board.open_group(1, {"twice": ECHO})
    board.close_model("twice")
    assert board.is_closed("twice")
    assert {board.views[name].state for name in ("twice", "double")} == {ModelState.UNAVAILABLE}
    assert board.views["double"].state_reason == "unloaded"
    board.open_model("twice")
    assert board.views["double"].state is ModelState.READY


def test_every_change_beats_and_no_change_keeps_the_views(board: ModelBoard):
    before, count = board.views, board.changed.count
    assert board.views is before
    board.open_group(0, {"twice": ECHO})
    board.close_model("once")
    assert board.changed.count == count + 2
    assert board.views is not before


def test_a_lost_replica_of_several_leaves_all_models_served_and_their_views_the_same(board: ModelBoard):
    for index in (0, 1):
        board.open_group(index, {"twice": ECHO, "once": ECHO})
    before = board.views["twice"]
    board.lose_group(1, "killed")
    assert board.are_all_served()
    assert board.views["twice"] is before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_length_that_clients_see_is_taken_by_every_group(board: ModelBoard, order: tuple[int, int]):
    for index in order:
        generation = GenerationInterface(max_model_len=100 * (index + 1), vocab_size=9)
        board.open_group(index, {"twice": ModelInterface((), (), "x", generation=generation)})
    seen = board.views["twice"].generation
    assert seen is not None and seen.max_model_len == 100
