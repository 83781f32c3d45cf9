"""One step of AdamW on the mean loss of a Llama, compiled. Suffix legend: families/family.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from workers.families.family import Parameters
from workers.families.llama import LLAMA, LlamaConfig
from workers.families.operators import causal, masked, whole_text
from workers.training.byte_llamas import PREFIX

Arrays = Mapping[str, jax.Array]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rate of learning rises over `num_warm_steps`, and falls along a cosine to a tenth at the end."""

    num_steps: int
    peak: float = 4e-3
    num_warm_steps: int = 30
    decay: float = 0.1
    momentum: float = 0.9
    momentum_of_squares: float = 0.95
    largest_gradient: float = 1.0

    def rate(self, step: jax.Array) -> jax.Array:
        warm = jnp.minimum(1.0, (step + 1) / self.num_warm_steps)
        done = jnp.clip(step / self.num_steps, 0.0, 1.0)
        return self.peak * warm * (0.55 + 0.45 * jnp.cos(jnp.pi * done))


class Training(NamedTuple):
    """Weights by their names in a checkpoint, means of gradients and their squares, steps taken."""

    weights: Arrays
    means: Arrays
    squares: Arrays
    step: jax.Array


def begin(weights: Arrays) -> Training:
    def zeros() -> Arrays:
        return {name: jnp.zeros_like(weight) for name, weight in weights.items()}

    on_device = {name: jnp.asarray(weight) for name, weight in weights.items()}
    return Training(on_device, zeros(), zeros(), jnp.zeros((), jnp.int32))


def logits(config: LlamaConfig, weights: Arrays, ids_BL: jax.Array) -> jax.Array:
    """logits_BLV of whole texts."""

    def table(parameters: Parameters) -> dict[str, jax.Array]:
        return {key: weights[PREFIX + parameter.tensors[0]] for key, parameter in parameters.items()}

    length = ids_BL.shape[1]
    positions_1L, attend = whole_text(length), masked(causal(length))
    x_BLD = LLAMA.embed(config, table(LLAMA.embed_parameters(config)), ids_BL, positions_1L)
    for index in range(config.num_layers):
        layer = table(LLAMA.layer_parameters(config, index))
        x_BLD = LLAMA.layer(config, layer, x_BLD, positions_1L, attend)
    return LLAMA.head(config, table(LLAMA.head_parameters(config)), x_BLD)


@partial(jax.jit, static_argnames="config")
def mean_loss(config: LlamaConfig, weights: Arrays, windows_BL: jax.Array) -> jax.Array:
    """Nats a token: what the model gives to the token that follows, over windows of one token more."""
    logits_BLV = logits(config, weights, windows_BL[:, :-1])
    next_BL1 = windows_BL[:, 1:, None]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits_BLV), next_BL1, axis=-1).mean()


@partial(jax.jit, static_argnames=("config", "schedule"), donate_argnames="training")
def train_step(
    config: LlamaConfig, schedule: Schedule, training: Training, windows_BL: jax.Array
) -> tuple[Training, jax.Array]:
    """The next state, and the mean loss before the step."""
    loss, gradients = jax.value_and_grad(partial(mean_loss, config))(training.weights, windows_BL)
    norm = jnp.sqrt(sum(jnp.square(gradient).sum() for gradient in gradients.values()))
    scale = jnp.minimum(1.0, schedule.largest_gradient / (norm + 1e-6))
    rate, count = schedule.rate(training.step), training.step + 1
    weights, means, squares = {}, {}, {}
    for name, weight in training.weights.items():
        gradient = gradients[name] * scale
        means[name] = _mixed(training.means[name], gradient, schedule.momentum)
        squares[name] = _mixed(training.squares[name], jnp.square(gradient), schedule.momentum_of_squares)
        mean = means[name] / (1.0 - schedule.momentum**count)
        square = squares[name] / (1.0 - schedule.momentum_of_squares**count)
        decay = schedule.decay * weight if weight.ndim > 1 else 0.0
        weights[name] = weight - rate * (mean / (jnp.sqrt(square) + 1e-8) + decay)
    return Training(weights, means, squares, count), loss


def _mixed(old: jax.Array, new: jax.Array, share: float) -> jax.Array:
    return share * old + (1.0 - share) * new
