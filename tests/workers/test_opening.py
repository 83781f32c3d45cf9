"""Workers cut a model where its profile was cut."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from vocabulary.catalog import Catalog
from vocabulary.errors import InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from workers.model import load_model, open_model
from workers.opening import profiled_cut

TWO_STAGES = ParallelConfig(1, 2)


def catalog(*stage_layers: int) -> Catalog:
    entry = ProfileEntry(TWO_STAGES, (1, 1), {}, {1: (0.1, 0.1)}, stage_layers=stage_layers)
    return Catalog({"m": profile_of("m", "cpu", [entry], provenance=Provenance("measured"))})


def test_the_cut_is_the_profiles_and_even_where_no_profile_says() -> None:
    assert profiled_cut(catalog(1, 3), "m", TWO_STAGES) == (range(0, 1), range(1, 4))
    assert profiled_cut(catalog(4, 0), "m", TWO_STAGES) == (range(0, 4), range(4, 4))
    assert profiled_cut(catalog(), "m", TWO_STAGES) is None
    assert profiled_cut(catalog(1, 3), "m", ParallelConfig(2, 2)) is None
    assert profiled_cut(catalog(1, 3), "other", TWO_STAGES) is None


def test_a_profile_of_another_model_is_refused_with_the_numbers() -> None:
    with pytest.raises(InvalidInput, match="stages of 1, 2 layers do not make a model of 4"):
        load_model(
            "random://gpt2-tiny",
            config=TWO_STAGES,
            devices=jax.devices()[:2],
            batch_buckets=(1,),
            sequence_buckets=(8,),
            base_dir=Path(),
            cut=(range(0, 1), range(1, 3)),
        )


def test_one_shot_requests_are_computed_in_float32_or_not_at_all(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="dtype bfloat16 is for models that generate"):
        open_model(
            "random://gpt2-tiny",
            config=ParallelConfig(1, 1),
            devices=jax.devices()[:1],
            batch_buckets=(1,),
            sequence_buckets=(8,),
            base_dir=tmp_path,
            dtype="bfloat16",
        )
