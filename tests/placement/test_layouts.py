"""Which layouts a search looks at."""

from collections import Counter

from placement.budget import Budget
from placement.candidate import Candidate
from placement.greedy import fill
from placement.groups import Layout, carve, hosts_of
from placement.layouts import equal_layouts, neighbours, shared_between
from placement.problem import Problem
from placement.starts import taken_over
from tests.placement.fleets import deployment, model, requests
from vocabulary.fit import check_fit
from vocabulary.parallel import ParallelConfig

SHAPES = ((1, 1), (1, 2), (2, 1), (1, 4), (2, 2), (1, 8), (1, 16), (8, 1), (8, 2))
FLEET = deployment(model("a", 60, *SHAPES), model("b", 30, *SHAPES), num_hosts=2, num_devices=8)
PROBLEM = Problem(FLEET, requests({"a": 6.0, "b": 12.0}))
HOSTS = hosts_of(FLEET.cluster)


def shape(layout: Layout) -> dict[tuple[int, int], int]:
    return dict(Counter((mesh.config.tensor, mesh.config.pipeline) for mesh in layout))


def devices(layout: Layout) -> list[str]:
    return sorted(device for mesh in layout for device in mesh.devices)


def test_configurations_beyond_the_published_limits_are_looked_at() -> None:
    shapes = [shape(layout) for layout in equal_layouts(PROBLEM, HOSTS)]
    assert {(1, 16): 1} in shapes
    assert {(8, 1): 2} in shapes
    assert {(1, 1): 16} in shapes


def test_two_configurations_share_the_devices() -> None:
    found = [shape(one) for one in shared_between(HOSTS, ParallelConfig(1, 8), ParallelConfig(1, 4))]
    assert {(1, 8): 1, (1, 4): 2} in found
    for layout in shared_between(HOSTS, ParallelConfig(1, 4), ParallelConfig(2, 2)):
        assert len(set(devices(layout))) == 16


def test_neighbours_split_merge_and_reshape_and_lose_no_device() -> None:
    layout = carve(HOSTS, ParallelConfig(1, 4))
    found = list(neighbours(PROBLEM, HOSTS, layout))
    shapes = [shape(one) for one in found]
    assert {(1, 4): 3, (1, 2): 2} in shapes
    assert {(1, 4): 2, (1, 8): 1} in shapes
    assert {(1, 4): 3, (2, 2): 1} in shapes
    assert all(devices(one) == devices(layout) for one in found)


def test_a_layout_takes_over_what_groups_of_its_kinds_hold() -> None:
    whole = carve(HOSTS, ParallelConfig(1, 8))
    filled = fill(PROBLEM, whole, Budget())
    assert filled is not None
    mixed = next(iter(shared_between(HOSTS, ParallelConfig(1, 8), ParallelConfig(1, 4))))
    start = taken_over(PROBLEM, mixed, [filled.best.candidate])
    assert start is not None
    check_fit(start.candidate.placement(FLEET.model_names), FLEET)
    assert start.candidate.content[0] == filled.best.candidate.content[0]


def test_a_start_keeps_required_replicas_or_there_is_none() -> None:
    wanted = deployment(model("a", 90, min_replicas=2), model("b", 90), num_devices=2)
    problem = Problem(wanted, requests({"a": 1.0, "b": 30.0}))
    layout = carve(hosts_of(wanted.cluster), ParallelConfig())
    start = taken_over(problem, layout, [Candidate(layout, ((1,), (1,)))])
    assert start is not None
    assert start.candidate.replicas_of(0) == 2
    too_much = deployment(model("a", 90, min_replicas=3), num_devices=2)
    problem = Problem(too_much, requests({"a": 1.0}))
    layout = carve(hosts_of(too_much.cluster), ParallelConfig())
    assert taken_over(problem, layout, [Candidate(layout, ((0,), ()))]) is None
