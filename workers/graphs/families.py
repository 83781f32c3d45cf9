"""The families' models as functions to lay out: shapes only, no weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.layer_graph import Layout
from workers.families import family_of
from workers.families.family import Family, Parameter, Parameters
from workers.families.operators import causal, masked, whole_text
from workers.weights import open_source


@dataclass(frozen=True, slots=True)
class FamilyFunction:
    """A whole model of a family: ids to its result. `tables` are its parameters, by part."""

    family: Family
    config: Any
    tables: Mapping[str, Parameters]

    @property
    def owners(self) -> Mapping[Parameter, str]:
        """The name of each parameter; a tied one has its first."""
        named = [
            (f"{part}.{name}", one) for part, table in self.tables.items() for name, one in table.items()
        ]
        return {one: name for name, one in reversed(named)}

    @property
    def parameters(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {name: jax.ShapeDtypeStruct(one.shape, np.float32) for one, name in self.owners.items()}

    def inputs(self, num_rows: int, length: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Raises InvalidInput for more tokens than the model has positions."""
        if length > self.config.max_positions:
            raise InvalidInput(
                f"sequence length {length} is above the model's {self.config.max_positions} positions",
                hint=f"use sequence lengths up to {self.config.max_positions}",
            )
        return {"input_ids": jax.ShapeDtypeStruct((num_rows, length), np.int32)}

    def by_hand(self, tensor: int) -> Mapping[str, Layout]:
        """The layouts that the family's own table gives its parameters on one axis of `tensor` devices."""
        return {
            name: (next((dim for dim, axis in enumerate(one.spec(tensor)) if axis), None),)
            for one, name in self.owners.items()
        }

    def apply(self, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
        """All layers and the head; of an encoder every token counts."""
        owners, ids_BL = self.owners, inputs["input_ids"]
        tables = {
            part: {name: params[owners[one]] for name, one in table.items()}
            for part, table in self.tables.items()
        }
        length = ids_BL.shape[1]
        positions_1L = whole_text(length)
        x_BLD = self.family.embed(self.config, tables["embed"], ids_BL, positions_1L)
        attend = masked(causal(length) if self.family.is_causal else np.ones((1, 1, length), bool))
        for layer in range(self.config.num_layers):
            x_BLD = self.family.layer(self.config, tables[str(layer)], x_BLD, positions_1L, attend)
        return self.family.head(self.config, tables["head"], x_BLD)


def family_function(source: str, *, base_dir: Path) -> FamilyFunction:
    """The model of a source that `workers.weights` can open. Raises InvalidInput."""
    checkpoint = open_source(source, base_dir=base_dir)
    family = family_of(checkpoint.config)
    config = family.parse(checkpoint.config)
    tables = {"embed": family.embed_parameters(config)}
    tables |= {str(layer): family.layer_parameters(config, layer) for layer in range(config.num_layers)}
    tables["head"] = family.head_parameters(config)
    return FamilyFunction(family, config, tables)
