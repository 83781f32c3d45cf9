"""A function that runs as its plan says computes the same, on eight virtual devices."""

import re
from collections import Counter

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from placement.intra.mesh import DeviceMesh, MeshAxis
from placement.intra.nodes import Freedom
from placement.intra.search import IntraPlan, parallelize
from tests.workers.graphs.models import Model, experts, families_layers
from workers.graphs.program import read_program
from workers.graphs.reading import layer_graph
from workers.graphs.sharded import shard_function, spec_of

# Links that cost next to nothing, so that small models are shared too; then a device holds but a part.
LINE = DeviceMesh((MeshAxis("tensor", 8, 1e-9, 1e12),), 1e12, 1e11)
FOUR = DeviceMesh((MeshAxis("tensor", 4, 1e-9, 1e12),), 1e12, 1e11)
GRID = DeviceMesh((MeshAxis("host", 2, 1e-9, 1e12), MeshAxis("tensor", 4, 1e-9, 1e12)), 1e12, 1e11)
COLLECTIVE = re.compile(r"= \S+ (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)\(")
# Sums of a few thousand float32 terms in another order.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def run_sharded(model: Model, mesh: DeviceMesh, **options: object) -> tuple[object, IntraPlan, Counter]:
    """The result, the plan, and the collectives that were compiled."""
    program = read_program(model.apply, model.parameters, model.x)
    plan = parallelize(layer_graph(program), mesh, **options)
    num_devices = int(np.prod([axis.size for axis in mesh.axes]))
    sharded = shard_function(program, plan, jax.devices()[:num_devices], model.parameters, model.x)
    with jax.default_matmul_precision("highest"):
        compiled = sharded.call.lower(model.parameters, model.x).compile()
    placed = jax.device_put(model.parameters, sharded.parameter_shardings)
    (x_sharding,) = sharded.input_shardings
    result = compiled(placed, jax.device_put(model.x, x_sharding))
    return result, plan, Counter(COLLECTIVE.findall(compiled.as_text()))


def assert_same(model: Model, mesh: DeviceMesh, **options: object) -> tuple[IntraPlan, Counter]:
    found, plan, collectives = run_sharded(model, mesh, **options)
    with jax.default_matmul_precision("highest"):
        expected = jax.jit(model.apply)(model.parameters, model.x)
    assert any(dim is not None for layout in plan.layouts.values() for dim in layout)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, **TOLERANCE), found, expected)
    return plan, collectives


@pytest.mark.parametrize("mesh", [LINE, GRID], ids=["line", "grid"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "mixtral"])
def test_layers_of_a_family_compute_the_same_on_eight_devices(family, mesh):
    model = families_layers(family, size="tiny", rows=2, length=16, draws=True)
    assert_same(model, mesh)


def test_the_compiled_layers_send_what_the_plan_says():
    """Two sums a layer, and nothing that the plan does not know."""
    model = families_layers("gpt2", size="tiny", layers=3, length=16, draws=True)
    limited = Freedom(ends_are_whole=True, scatters=False)
    slow = DeviceMesh((MeshAxis("tensor", 4, 2e-6, 1e11),), 1e12, 1e11)
    plan, collectives = assert_same(model, slow, freedom=limited)
    planned = Counter(one.collective.kind.replace("_", "-") for one in plan.exchanges)
    assert planned == {"all-reduce": 6}
    assert collectives == planned


def test_experts_that_tokens_are_sent_to_compute_the_same():
    model = experts(rows=8, length=16, width=32, ffn=256, num_experts=8, draws=True)
    graph = layer_graph(read_program(model.apply, model.parameters, model.x))
    plan, _ = assert_same(model, FOUR, memory_bytes=0.6 * graph.parameter_bytes)
    assert {plan.layouts[number] for number in graph.parameters if len(graph.tensors[number].shape) == 3} == {
        (0,)
    }


def test_a_function_with_a_scan_and_an_operator_nobody_knows_computes_the_same():
    draw = np.random.default_rng(0)
    ws = (0.3 * draw.standard_normal((4, 32, 32))).astype(np.float32)

    def apply(ws, x):
        def layer(carry, w):
            return jnp.tanh(carry @ w), carry.sum(-1)

        x, sums = jax.lax.scan(layer, x, ws)
        square = x @ x.T + 10 * jnp.eye(len(x))
        return {"x": jnp.linalg.cholesky(square), "sums": sums}

    x = draw.standard_normal((16, 32)).astype(np.float32)
    assert_same(Model(apply, ws, x), LINE)


DRAW = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return (0.2 * DRAW.standard_normal(shape)).astype(np.float32)


def train(weights, x):
    """One step of gradient descent."""

    def loss(weights):
        return jnp.mean(jnp.square(jax.nn.gelu(x @ weights["up"]) @ weights["down"] - 1))

    value, slopes = jax.value_and_grad(loss)(weights)
    return value, jax.tree.map(lambda weight, slope: weight - 0.1 * slope, weights, slopes)


def convolve(weights, x):
    picture = jax.lax.conv_general_dilated(x, weights["kernel"], (1, 1), "SAME")
    return jax.nn.relu(picture).mean((2, 3)) @ weights["head"]


def branch(w, x):
    looped = jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(c[1] @ w)), (0, x))[1]
    return jax.lax.cond(x.sum() > 0, lambda y: y @ w, lambda y: y - 1, looped)


def look_up(w, x):
    best = jnp.argsort(x, axis=-1)
    spread = jnp.zeros((2 * len(x), x.shape[1])).at[2 * jnp.arange(len(x))].add(x @ w)
    return jnp.take_along_axis(x @ w, best, axis=-1), jnp.roll(jnp.cumsum(spread, 0), 3, 1)[2:9]


@pytest.mark.parametrize(
    ("apply", "parameters", "x"),
    [
        (train, {"up": drawn(32, 64), "down": drawn(64, 32)}, drawn(16, 32)),
        (convolve, {"kernel": drawn(16, 8, 3, 3), "head": drawn(16, 8)}, drawn(8, 8, 8, 8)),
        (branch, drawn(32, 32), drawn(16, 32)),
        (look_up, drawn(32, 32), drawn(16, 32)),
    ],
    ids=["a training step", "a convolution", "loops and branches", "gathers and scatters"],
)
def test_any_function_computes_the_same(apply, parameters, x):
    assert_same(Model(apply, parameters, x), LINE)


def test_a_device_computes_as_much_as_the_plan_believes():
    """XLA counts what it compiled for one device: products, and some for everything else."""
    model = families_layers("gpt2", size="small", length=64, draws=True)
    program = read_program(model.apply, model.parameters, model.x)
    graph = layer_graph(program)
    plan = parallelize(graph, FOUR, freedom=Freedom(ends_are_whole=True))
    believed = sum(
        graph.operators[index].flops / plan.mesh.num_parts(tuple(cut.label for cut in cuts))
        for node, strategy in zip(plan.choice.nodes, plan.choice.strategies, strict=True)
        for index, cuts in zip(node.members, strategy.cuts, strict=True)
    )
    sharded = shard_function(program, plan, jax.devices()[:4], model.parameters, model.x)
    counted = sharded.call.lower(model.parameters, model.x).compile().cost_analysis()["flops"]
    assert believed == pytest.approx(counted, rel=0.05)
    assert believed < 0.3 * sum(operator.flops for operator in graph.operators)


def test_outputs_that_are_inputs_or_constants_are_given_back():
    def apply(w, x):
        return x, jnp.arange(4), (x @ w, 2.0)

    assert_same(Model(apply, np.ones((64, 64), np.float32), np.ones((8, 64), np.float32)), LINE)


def test_weights_on_a_device_are_as_large_as_the_plan_says():
    model = families_layers("llama", size="tiny", layers=1, length=16, draws=True)
    program = read_program(model.apply, model.parameters, model.x)
    plan = parallelize(layer_graph(program), FOUR)
    sharded = shard_function(program, plan, jax.devices()[:4], model.parameters, model.x)
    placed = jax.device_put(model.parameters, sharded.parameter_shardings)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(placed))
    assert held == plan.cost.parameter_bytes


def test_specs_are_written_as_jax_writes_them():
    assert spec_of((None, None), ("host", "tensor")) == PartitionSpec()
    assert spec_of((1, 0), ("host", "tensor")) == PartitionSpec("tensor", "host")
    assert spec_of((1, 1), ("host", "tensor")) == PartitionSpec(None, ("host", "tensor"))
