"""The integer program against all choices there are."""

import math
from dataclasses import replace
from itertools import product

import pytest

from placement.intra.baselines import plan_by_hand, replicated_cost
from placement.intra.liveness import lifetimes
from placement.intra.nodes import Freedom, nodes_of
from placement.intra.plan import Cost, cost_of, pick
from placement.intra.search import parallelize
from tests.placement.intra.graphs import Drawing, feed_forward, grid, random_graph, ring
from vocabulary.errors import Infeasible, TimedOut

# Where more choices are possible the seed is passed over: enumeration would take minutes.
MAX_CHOICES = 2000


def all_costs(graph, mesh, freedom) -> list[Cost] | None:
    nodes = nodes_of(graph, mesh, freedom)
    if math.prod(len(node.strategies) for node in nodes) > MAX_CHOICES:
        return None
    alive = lifetimes(nodes, graph)
    every = product(*(range(len(node.strategies)) for node in nodes))
    return [cost_of(pick(nodes, chosen), graph, mesh, freedom, alive) for chosen in every]


def cases():
    """(seed, freedom, mesh) whose choices can be enumerated."""
    for seed in range(12):
        for freedom in (Freedom(), Freedom(ends_are_whole=True), Freedom(scatters=False)):
            yield seed, freedom, ring(2)
    for seed in range(6):
        yield seed, Freedom(ends_are_whole=True, scatters=False), grid()


def test_no_choice_is_better_than_the_plan():
    num_enumerated = 0
    for seed, freedom, mesh in cases():
        graph = random_graph(seed)
        costs = all_costs(graph, mesh, freedom)
        if costs is None:
            continue
        num_enumerated += 1
        plan = parallelize(graph, mesh, freedom=freedom, gap=0.0)
        assert plan.cost.total_s == pytest.approx(min(one.total_s for one in costs), rel=1e-5), seed
    assert num_enumerated >= 15


def test_no_choice_within_the_memory_is_better_than_the_plan():
    num_enumerated = 0
    for seed, freedom, mesh in cases():
        graph = random_graph(seed)
        costs = all_costs(graph, mesh, freedom)
        if costs is None:
            continue
        peaks = sorted({one.peak_bytes for one in costs})
        for memory_bytes in (peaks[0], peaks[len(peaks) // 3]):
            num_enumerated += 1
            plan = parallelize(graph, mesh, memory_bytes=memory_bytes, freedom=freedom, gap=0.0)
            within = [one.total_s for one in costs if one.peak_bytes <= memory_bytes]
            assert plan.cost.peak_bytes <= memory_bytes * (1 + 1e-9), seed
            assert plan.cost.total_s == pytest.approx(min(within), rel=1e-5), (seed, memory_bytes)
    assert num_enumerated >= 30


def test_what_fits_no_choice_is_refused_with_the_least_that_would_do():
    graph = feed_forward(width=64, hidden=256)
    least = min(one.peak_bytes for one in all_costs(graph, ring(2), Freedom(ends_are_whole=True)))
    freedom = Freedom(ends_are_whole=True)
    assert parallelize(graph, ring(2), memory_bytes=least, freedom=freedom).cost.peak_bytes == least
    with pytest.raises(
        Infeasible, match=r"no plan fits 60.0 KiB a device: the best takes at least 64.\d KiB"
    ):
        parallelize(graph, ring(2), memory_bytes=60 * 1024, freedom=freedom)


def test_a_feed_forward_is_cut_by_columns_then_by_rows_with_one_sum():
    plan = parallelize(feed_forward(), ring(4), freedom=Freedom(ends_are_whole=True))
    layouts = {plan.graph.tensors[number].name: plan.layouts[number] for number in plan.graph.parameters}
    assert layouts == {"0.up": (1,), "0.down": (0,)}
    assert [one.collective.kind for one in plan.exchanges] == ["all_reduce"]
    assert plan.cost.resharding_s == 0.0


def test_many_rows_are_cut_rather_than_weights_and_nothing_is_sent():
    plan = parallelize(feed_forward(rows=512), ring(4))
    assert plan.exchanges == ()
    assert all(plan.layouts[number] == (None,) for number in plan.graph.parameters)


def test_memory_forbids_to_hold_all_weights_and_they_are_cut():
    graph = feed_forward(rows=512)
    everywhere = parallelize(graph, ring(4)).cost
    limit = everywhere.peak_bytes - everywhere.parameter_bytes / 2
    plan = parallelize(graph, ring(4), memory_bytes=limit)
    assert plan.cost.peak_bytes <= limit < everywhere.peak_bytes
    assert plan.cost.total_s > everywhere.total_s
    assert any(plan.layouts[number] != (None,) for number in graph.parameters)


def test_a_tensor_that_three_take_is_gathered_once():
    drawing = Drawing()
    x = drawing.input(8, 64)
    made = [drawing.opaque(drawing.add(x, x)) for _ in range(3)]
    wanted = drawing.opaque(x)
    graph = drawing.graph(*made, wanted)
    fixed = Freedom(fixed=((x, (0,)),))
    plan = parallelize(graph, ring(2), freedom=fixed)
    # The three sums are different tensors, x is one that the last operator takes.
    assert sum(one.tensor == x for one in plan.exchanges) == 1
    again = drawing.opaque(x)
    more = parallelize(
        replace(drawing.graph(*made, wanted), outputs=(*made, wanted, again)), ring(2), freedom=fixed
    )
    assert more.cost.resharding_s == pytest.approx(plan.cost.resharding_s)


def test_equal_layers_are_solved_once_and_no_worse():
    graph = feed_forward(layers=24)
    freedom = Freedom(ends_are_whole=True)
    tied = parallelize(graph, ring(4), freedom=freedom)
    free = parallelize(graph, ring(4), freedom=freedom, ties_repeats=False)
    two = parallelize(feed_forward(layers=6), ring(4), freedom=freedom)
    assert tied.cost.total_s == pytest.approx(free.cost.total_s, rel=1e-4)
    assert tied.effort.num_variables == two.effort.num_variables < free.effort.num_variables / 3


def test_weights_laid_out_by_hand_are_kept_and_cost_no_less():
    graph = feed_forward()
    freedom = Freedom(ends_are_whole=True)
    best = parallelize(graph, ring(4), freedom=freedom).cost
    same = plan_by_hand(graph, ring(4), {"0.up": (1,), "0.down": (0,)}, freedom=freedom)
    worse = plan_by_hand(graph, ring(4), {"0.up": (0,), "0.down": (1,)}, freedom=freedom)
    assert same.cost.total_s == pytest.approx(best.total_s)
    assert worse.cost.total_s > best.total_s
    assert replicated_cost(graph, ring(4)).total_s > best.total_s


def test_what_nothing_is_known_about_is_computed_whole_and_named():
    drawing = Drawing()
    x = drawing.matmul(drawing.input(8, 64), drawing.parameter(64, 64))
    graph = drawing.graph(drawing.opaque(x))
    plan = parallelize(graph, ring(4))
    assert graph.opaque_kinds == {"mystery": 1}
    assert plan.layouts[graph.outputs[0]] == (None,)


def test_sizes_that_do_not_divide_stay_whole():
    plan = parallelize(feed_forward(rows=1, width=5, hidden=7), ring(4))
    assert set(plan.layouts.values()) == {(None,)}


def test_no_plan_in_time_is_told_with_the_size_of_the_problem():
    with pytest.raises(TimedOut, match=r"no plan after 0 s for \d+ variables"):
        parallelize(feed_forward(rows=64, layers=6), grid(), time_limit_s=0.0, ties_repeats=False)


def test_both_axes_of_a_grid_are_used():
    plan = parallelize(feed_forward(rows=64, width=256, hidden=1024), grid())
    used = {axis for layout in plan.layouts.values() for axis, dim in enumerate(layout) if dim is not None}
    assert used == {0, 1}
    one = parallelize(feed_forward(rows=64, width=256, hidden=1024), ring(2))
    assert plan.cost.total_s < one.cost.total_s
