"""A pipelined training step gives the loss and the gradients of the unpipelined one, under every schedule."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.schedules import SCHEDULES, peak_in_flight, with_delayed_weights
from workers.pipelined_training import TrainedStage, training_step

NUM_STAGES, NUM_MICRO_BATCHES = 4, 8
VOCABULARY, LENGTH, HIDDEN = 32, 12, 16


def block(params, hidden):
    """Causal attention of one head and a feed-forward, with residuals."""
    normed = hidden / jnp.sqrt(jnp.mean(hidden**2, axis=-1, keepdims=True) + 1e-6)
    query, key, value = (normed @ params[name] for name in ("query", "key", "value"))
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(HIDDEN)
    scores = jnp.where(jnp.tril(jnp.ones((LENGTH, LENGTH), bool)), scores, -1e9)
    hidden = hidden + jax.nn.softmax(scores) @ value
    return hidden + jax.nn.gelu(hidden @ params["up"]) @ params["down"]


def first(params, batch):
    return block(params, params["embed"][batch])


def last(params, hidden):
    """Mean of the log likelihood that each position gives token 3: enough to have a gradient everywhere."""
    logits = block(params, hidden) @ params["head"]
    return -jnp.mean(jax.nn.log_softmax(logits)[..., 3])


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)

    def made(*shape):
        return jnp.asarray(rng.normal(0, 0.2, shape), jnp.float32)

    square = {name: (HIDDEN, HIDDEN) for name in ("query", "key", "value")}
    shapes = square | {"up": (HIDDEN, 64), "down": (64, HIDDEN)}
    stages = [{name: made(*shape) for name, shape in shapes.items()} for _ in range(NUM_STAGES)]
    stages[0]["embed"], stages[-1]["head"] = made(VOCABULARY, HIDDEN), made(HIDDEN, VOCABULARY)
    return stages


@pytest.fixture(scope="module")
def micro_batches():
    rng = np.random.default_rng(1)
    return [rng.integers(0, VOCABULARY, (2, LENGTH)) for _ in range(NUM_MICRO_BATCHES)]


@pytest.fixture(scope="module")
def expected(params, micro_batches):
    def loss(params):
        total = 0.0
        for batch in micro_batches:
            hidden = first(params[0], batch)
            for stage in params[1:-1]:
                hidden = block(stage, hidden)
            total += last(params[-1], hidden)
        return total / len(micro_batches)

    return jax.value_and_grad(loss)(params)


def stages_on_devices(params) -> list[TrainedStage]:
    functions = [first, *[block] * (NUM_STAGES - 2), last]
    made = []
    for function, stage, device in zip(functions, params, jax.devices(), strict=False):
        sharding = NamedSharding(Mesh([device], "x"), PartitionSpec())
        made.append(TrainedStage(function, jax.device_put(stage, sharding), sharding))
    return made


@pytest.mark.parametrize("is_delayed", [False, True], ids=["whole", "delayed"])
@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "inference"])
def test_loss_and_gradients_are_those_of_the_unpipelined_step(
    name: str, is_delayed: bool, params, micro_batches, expected
) -> None:
    rows = SCHEDULES[name](NUM_STAGES, NUM_MICRO_BATCHES)
    rows = with_delayed_weights(rows) if is_delayed else rows
    step = training_step(rows, stages_on_devices(params), micro_batches)
    loss, gradients = expected
    np.testing.assert_allclose(step.loss, loss, rtol=1e-5)
    for found, wanted in zip(step.gradients, gradients, strict=True):
        assert found.keys() == wanted.keys()
        for leaf, one in found.items():
            np.testing.assert_allclose(one, wanted[leaf], rtol=1e-5, atol=1e-5)
    if not is_delayed:
        assert step.peak_in_flight == peak_in_flight(rows)
