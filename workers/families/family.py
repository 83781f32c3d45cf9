"""What every family of models has: a table of parameters, and three pure functions over them.

One layer function serves whole texts and steps of generation: how tokens see each other is its caller's.

Legend of array suffixes in this room: B batch, L query position, M key position, D hidden, N heads,
K key-value heads, G query heads per key-value head, H head width, F feed-forward width, E experts, C chosen
experts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import PartitionSpec

from vocabulary.formats.hub_config import HubConfig

# The one mesh axis of a pipeline stage.
TENSOR_AXIS = "tensor"
Params = Mapping[str, jax.Array]
# q_BLNH, k_BLKH, v_BLKH of the tokens of a layer -> mixed_BLF, what they see of each other, heads joined.
Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


@dataclass(frozen=True, slots=True)
class Split:
    """A dimension that tensor parallelism may cut into equal parts of whole units (heads, columns)."""

    dim: int
    num_units: int


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of `count` equal ones along `dim` of a fused tensor."""

    dim: int
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array of a model: where checkpoints keep it and how it may be split.

    Several `tensors` are stacked on a new first dimension. `part`: only that part of the checkpoint's tensor.
    `splits` are alternatives, best first; with none that divides, every device holds the whole array.
    """

    tensors: tuple[str, ...]
    shape: tuple[int, ...]
    splits: tuple[Split, ...] = ()
    part: Part | None = None

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """The shape of each of `tensors` in the checkpoint."""
        shape = self.shape[1:] if len(self.tensors) > 1 else self.shape
        if self.part is None:
            return shape
        return tuple(
            size * self.part.count if dim == self.part.dim else size for dim, size in enumerate(shape)
        )

    def spec(self, tensor: int) -> PartitionSpec:
        """How the array lies on a mesh of `tensor` devices."""
        for split in self.splits:
            if split.num_units % tensor == 0:
                return PartitionSpec(*([None] * split.dim), TENSOR_AXIS)
        return PartitionSpec()


Parameters = Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class KeyValueHeads:
    """What a layer keeps of a token for later ones, and the heads that ask for it.

    num_units: into how many parts both kinds of heads can be cut.
    """

    count: int
    width: int
    num_queries: int
    num_units: int

    def num_parts(self, tensor: int) -> int:
        """Into how many `tensor` devices cut them; 1 where each has them all."""
        return tensor if self.num_units % tensor == 0 else 1


@dataclass(frozen=True, slots=True)
class Family:
    """A model type. `Config` below is the family's own frozen dataclass, with at least num_layers,

    hidden_size, vocab_size and max_positions. Names in parameter tables come without the checkpoint's
    prefix, which is one of `prefixes`. `sizes` are the config.json files of `random://<name>-<size>`.
    positions_BL, which may broadcast over B, are those of the tokens in their texts, from 0.
    kv_heads: of a decoder, None of an encoder.
    """

    name: str
    is_causal: bool
    prefixes: tuple[str, ...]
    sizes: Mapping[str, Mapping[str, object]]
    parse: Callable[[HubConfig], Any]
    embed_parameters: Callable[[Any], Parameters]
    layer_parameters: Callable[[Any, int], Parameters]
    head_parameters: Callable[[Any], Parameters]
    # config, params, ids_BL, positions_BL -> x_BLD
    embed: Callable[[Any, Params, jax.Array, jax.Array], jax.Array]
    # config, params, x_BLD, positions_BL, attend -> x_BLD
    layer: Callable[[Any, Params, jax.Array, jax.Array, Attend], jax.Array]
    # config, params, x_BLD -> x_BLD or logits_BLV
    head: Callable[[Any, Params, jax.Array], jax.Array]
    kv_heads: Callable[[Any], KeyValueHeads] | None = None

    def parameters(self, config: Any) -> tuple[Parameter, ...]:
        """All parameters of a model; a tied one is listed where it is used, so possibly twice."""
        layers = [self.layer_parameters(config, index) for index in range(config.num_layers)]
        tables = [self.embed_parameters(config), *layers, self.head_parameters(config)]
        return tuple(parameter for table in tables for parameter in table.values())


def whole(name: str, *shape: int) -> Parameter:
    """Every device holds all of it."""
    return Parameter((name,), shape)


def column(name: str, *shape: int, num_units: int) -> Parameter:
    """Outputs are split: dimension 0, as checkpoints store linear layers and biases."""
    return Parameter((name,), shape, (Split(0, num_units),))


def row(name: str, *shape: int, num_units: int) -> Parameter:
    """Inputs are split (dimension 1); the partial results are summed over the devices."""
    return Parameter((name,), shape, (Split(1, num_units),))
