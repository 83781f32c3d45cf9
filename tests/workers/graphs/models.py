"""Functions to lay out: a layer of each family, and experts to whom tokens are sent (GShard)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from placement.intra.mesh import DeviceMesh, MeshAxis
from vocabulary.formats.hub_config import HubConfig
from workers.families import FAMILIES
from workers.families.operators import causal, masked, whole_text


@dataclass(frozen=True)
class Model:
    """`apply(parameters, x)`, with arrays or with shapes only."""

    apply: Callable[[Any, Any], Any]
    parameters: Any
    x: Any


def families_layers(
    family_name: str,
    *,
    size: str = "large",
    layers: int = 1,
    rows: int = 1,
    length: int = 128,
    draws: bool = False,
) -> Model:
    """Layers of a family between hidden states; drawn from a seed, or shapes alone."""
    family = FAMILIES[family_name]
    sizes = family.sizes.get(size, family.sizes["base"])
    config = family.parse(HubConfig(sizes, "config.json"))
    tables = {str(layer): family.layer_parameters(config, layer) for layer in range(layers)}
    shapes = {part: {name: one.shape for name, one in table.items()} for part, table in tables.items()}

    def apply(params: Mapping[str, Any], x_BLD: jax.Array) -> jax.Array:
        for layer in range(layers):
            x_BLD = family.layer(
                config, params[str(layer)], x_BLD, whole_text(length), masked(causal(length))
            )
        return x_BLD

    return Model(apply, _filled(shapes, draws), _filled((rows, length, config.hidden_size), draws))


def experts(*, rows: int, length: int, width: int, ffn: int, num_experts: int, draws: bool = False) -> Model:
    """Each token goes to its best expert, as many to each as fit (GShard's einsums). Legend: C places."""
    capacity = 2 * length // num_experts
    shapes = {
        "router": (width, num_experts),
        "up": (num_experts, width, ffn),
        "down": (num_experts, ffn, width),
    }

    def apply(params: Mapping[str, Any], x_BLD: jax.Array) -> jax.Array:
        gates_BLE = jax.nn.softmax(jnp.einsum("BLD,DE->BLE", x_BLD, params["router"]))
        chosen_BLE = jax.nn.one_hot(jnp.argmax(gates_BLE, -1), num_experts)
        place_BLE = (jnp.cumsum(chosen_BLE, 1) - 1) * chosen_BLE
        sent_BLEC = chosen_BLE[..., None] * jax.nn.one_hot(place_BLE.astype(int), capacity)
        taken_EBCD = jnp.einsum("BLEC,BLD->EBCD", sent_BLEC, x_BLD)
        inner_EBCF = jax.nn.relu(jnp.einsum("EBCD,EDF->EBCF", taken_EBCD, params["up"]))
        given_EBCD = jnp.einsum("EBCF,EFD->EBCD", inner_EBCF, params["down"])
        return x_BLD + jnp.einsum("BLEC,EBCD->BLD", sent_BLEC * gates_BLE[..., None], given_EBCD)

    return Model(apply, _filled(shapes, draws), _filled((rows, length, width), draws))


def fast_links(tensor: int = 4) -> DeviceMesh:
    """An A100's memory and half precision, and links whose latency is low enough to share a small layer."""
    return DeviceMesh((MeshAxis("tensor", tensor, 1e-6, 2e11),), 2.5e14, 1.6e12)


def _filled(shapes: Any, draws: bool) -> Any:
    generator = np.random.default_rng(0)

    def one(shape: tuple[int, ...]) -> Any:
        if not draws:
            return jax.ShapeDtypeStruct(shape, np.float32)
        return (0.2 * generator.standard_normal(shape)).astype(np.float32)

    return jax.tree.map(one, shapes, is_leaf=lambda value: isinstance(value, tuple))
