"""Sharded arrays between processes that have JAX runtimes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.resharding.array_errands import Journey, Layout, travel
from tests.resharding.host_crew import host_crew
from tests.resharding.transport.crew import Crew

FOUR = (("x", 2), ("y", 2))
ROWS = Layout(0, 0, FOUR, ("x", None))


@pytest.fixture(scope="module", params=[("a", "a", "a"), ("a", "b", "c")], ids=["one host", "three hosts"])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    with host_crew(*request.param) as made:
        yield made


def test_arrays_of_other_shardings_arrive_bit_for_bit_and_all_together(crew: Crew) -> None:
    journeys = [
        Journey((8, 12), "float32", ROWS, (Layout(1, 2, FOUR, (None, "y")),)),
        Journey((4, 6), "bool", Layout(0, 4, FOUR, ("x", "y")), (Layout(1, 0, (("t", 2),), (None, None)),)),
        Journey((6,), "int32", Layout(1, 0, (("t", 3),), ("t",)), (Layout(2, 0, (("t", 2),), ("t",)),)),
        Journey(
            (2, 2, 5),
            "float16",
            Layout(2, 1, (("t", 1),), (None,) * 3),
            (Layout(0, 3, FOUR, ("y", "x", None)),),
        ),
    ]
    assert crew.all(travel, crew.group, 1, journeys) == [[]] * 3


def test_new_replicas_of_other_layouts_get_one_array_at_once(crew: Crew) -> None:
    replicas = (Layout(1, 0, (("t", 4),), ("t", None)), Layout(2, 4, FOUR, (None, "x")))
    assert crew.all(travel, crew.group, 2, [Journey((64, 96), "bfloat16", ROWS, replicas)]) == [[]] * 3
