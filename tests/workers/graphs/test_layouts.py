"""The layouts that people found by hand are found by the search."""

from dataclasses import replace

import pytest

from placement.intra.baselines import plan_by_hand, replicated_cost
from placement.intra.nodes import Freedom
from placement.intra.search import IntraPlan, parallelize
from tests.workers.graphs.models import Model, experts, families_layers, fast_links
from vocabulary.layer_graph import LayerGraph
from workers.graphs.families import family_function
from workers.graphs.program import read_program
from workers.graphs.reading import layer_graph

WHOLE_ENDS = Freedom(ends_are_whole=True)
# Megatron's dimension of each weight: outputs of the first product of a half layer, inputs of the second.
# GPT-2 stores inputs first, the others outputs first.
MEGATRON = {
    "gpt2": {"query": 1, "key": 1, "value": 1, "output": 0, "up": 1, "down": 0},
    "bert": {"query": 0, "key": 0, "value": 0, "output": 1, "up": 0, "down": 1},
    "llama": {"query": 0, "key": 0, "value": 0, "output": 1, "up": 0, "gate": 0, "down": 1},
}


def graph_of(model: Model) -> LayerGraph:
    return layer_graph(read_program(model.apply, model.parameters, model.x))


def cuts_of(plan: IntraPlan) -> dict[str, int | None]:
    """Parameter, without its layer -> the dimension that the first axis cuts."""
    return {
        plan.graph.tensors[number].name.split(".")[-1]: plan.layouts[number][0]
        for number in plan.graph.parameters
    }


def kinds(plan: IntraPlan) -> list[str]:
    return [one.collective.kind for one in plan.exchanges]


def is_megatron(family: str, plan: IntraPlan) -> bool:
    cuts = cuts_of(plan)
    return all(cuts[name] == dim for name, dim in MEGATRON[family].items())


@pytest.mark.parametrize("family", MEGATRON)
def test_a_transformer_block_of_one_row_is_cut_as_megatron_cuts_it(family):
    model = families_layers(family)
    plan = parallelize(graph_of(model), fast_links(), freedom=Freedom(ends_are_whole=True, scatters=False))
    assert is_megatron(family, plan), cuts_of(plan)
    assert kinds(plan) == ["all_reduce", "all_reduce"]
    assert plan.cost.resharding_s == 0.0


@pytest.mark.parametrize("family", MEGATRON)
def test_sums_may_stay_scattered_between_the_halves_as_in_sequence_parallelism(family):
    """Whatever it chooses among all-reduce and reduce-scatter with all-gather, the weights lie as before."""
    plan = parallelize(graph_of(families_layers(family)), fast_links(), freedom=WHOLE_ENDS)
    assert is_megatron(family, plan), cuts_of(plan)
    assert set(kinds(plan)) <= {"all_reduce", "reduce_scatter", "all_gather"}
    assert kinds(plan).count("all_reduce") + kinds(plan).count("reduce_scatter") == 2


@pytest.mark.parametrize("family", MEGATRON)
def test_memory_that_forbids_to_hold_all_weights_gives_megatron_where_latency_would_not(family):
    graph = graph_of(families_layers(family, layers=2, length=32))
    slow_axis = replace(fast_links().axes[0], latency_s=1e-4)
    mesh = replace(fast_links(), axes=(slow_axis,))
    roomy = parallelize(graph, mesh, freedom=WHOLE_ENDS)
    assert not is_megatron(family, roomy)
    limit = 0.27 * graph.parameter_bytes + 2e6
    plan = parallelize(graph, mesh, memory_bytes=limit, freedom=WHOLE_ENDS)
    assert is_megatron(family, plan), cuts_of(plan)
    assert plan.cost.peak_bytes <= limit
    assert kinds(plan) == ["all_reduce"] * 4


@pytest.mark.parametrize(("family", "rows"), [("bert", 1), ("gpt2", 4), ("mixtral", 2)])
def test_nothing_is_lost_by_operators_that_follow(family, rows):
    """Where passes over memory cost nothing, choosing for each operator sends and computes no less."""
    free_memory = replace(fast_links(), memory_bytes_per_s=1e30, flops_per_s=1e13)
    graph = graph_of(families_layers(family, rows=rows))
    follows = parallelize(graph, free_memory, freedom=WHOLE_ENDS)
    chooses = parallelize(graph, free_memory, freedom=replace(WHOLE_ENDS, follows=False))
    assert follows.effort.num_variables < chooses.effort.num_variables / 2
    assert follows.cost.total_s == pytest.approx(chooses.cost.total_s, rel=1e-4)


def test_heads_that_do_not_divide_are_not_cut():
    """Three devices: 16 heads and 1024 columns do not divide, so nothing of them is cut by three."""
    plan = parallelize(graph_of(families_layers("gpt2")), fast_links(3), freedom=WHOLE_ENDS)
    assert set(plan.layouts.values()) == {(None,)}


def test_many_rows_are_shared_without_any_exchange():
    plan = parallelize(graph_of(families_layers("gpt2", rows=8, length=512)), fast_links())
    assert kinds(plan) == []
    assert set(cuts_of(plan).values()) == {None}


def test_experts_are_shared_where_every_expert_computes_every_token():
    plan = parallelize(graph_of(families_layers("mixtral")), fast_links(), freedom=WHOLE_ENDS)
    cuts = cuts_of(plan)
    assert (cuts["gate"], cuts["up"], cuts["down"]) == (0, 0, 0)
    assert cuts["router"] is None


def test_experts_are_shared_and_tokens_sent_to_them_and_back():
    """GShard's layout: tokens lie by rows, experts by number, and an all-to-all stands between them twice."""
    model = experts(rows=8, length=128, width=512, ffn=2048, num_experts=8)
    graph = graph_of(model)
    limit = 0.3 * graph.parameter_bytes + 20e6
    plan = parallelize(graph, fast_links(), memory_bytes=limit)
    cuts = cuts_of(plan)
    assert (cuts["up"], cuts["down"]) == (0, 0)
    assert kinds(plan) == ["all_to_all", "all_to_all"]
    assert plan.layouts[graph.outputs[0]] == (0,)
    assert plan.cost.total_s < replicated_cost(graph, fast_links()).total_s


@pytest.mark.parametrize("source", ["random://gpt2-large", "random://llama-large", "random://bert-large"])
def test_a_whole_model_costs_no_more_than_by_hand_and_its_layers_are_solved_once(source, tmp_path):
    model = family_function(source, base_dir=tmp_path)
    graph = layer_graph(read_program(model.apply, model.parameters, model.inputs(1, 128)))
    plan = parallelize(graph, fast_links())
    by_hand = plan_by_hand(graph, fast_links(), model.by_hand(4), freedom=Freedom())
    assert plan.cost.total_s <= by_hand.cost.total_s * (1 + 1e-6)
    assert plan.cost.total_s < replicated_cost(graph, fast_links()).total_s
    assert plan.effort.num_nodes > 400
    # What is solved are two layers and the ends, however many layers there are.
    assert plan.effort.num_classes < 80
    assert plan.effort.num_variables < 2000
    assert plan.effort.num_rounds == 1
