"""What a shape counts is what the families' own tables of parameters hold."""

from __future__ import annotations

import math

import pytest

from vocabulary.errors import InvalidInput
from vocabulary.formats.architecture import shape_of_config, shape_of_numbers
from vocabulary.formats.hub_config import HubConfig
from vocabulary.model_shape import ModelShape
from workers.families import FAMILIES

SIZES = [(family, size) for family in FAMILIES for size in FAMILIES[family].sizes]


@pytest.mark.parametrize(("family", "size"), SIZES)
def test_a_shape_counts_the_matrices_of_the_family(family: str, size: str) -> None:
    config = HubConfig(FAMILIES[family].sizes[size], "config.json")
    table = FAMILIES[family].parameters(FAMILIES[family].parse(config))
    # Norms and biases have one dimension; a tied table is listed twice.
    matrices = {(*one.tensors, one.part): one.shape for one in table if len(one.shape) > 1}
    assert shape_of_config(config).num_parameters == sum(map(math.prod, matrices.values()))


def test_every_family_has_a_shape_and_others_are_named() -> None:
    with pytest.raises(InvalidInput, match="model_type 't5' is not known; known: bert, gpt2, llama, mistral"):
        shape_of_config(HubConfig({"model_type": "t5"}, "config.json"))


def test_a_missing_key_is_named_with_its_file() -> None:
    with pytest.raises(InvalidInput, match="n_head is missing"):
        shape_of_config(HubConfig({"model_type": "gpt2", "n_embd": 8}, "gpt/config.json"))


def test_numbers_on_the_command_line_give_published_sizes() -> None:
    gpt3 = shape_of_numbers("layers=96,hidden=12288,head_width=128,positions=2048")
    assert gpt3.num_parameters == pytest.approx(175e9, rel=0.01)
    llama = shape_of_numbers("layers=32,hidden=4096,ffn=11008,vocab=32000,gated=yes,tied=no")
    assert llama.num_parameters == pytest.approx(6.74e9, rel=0.01)
    assert (llama.num_heads, llama.head_width) == (32, 128)


def test_parameters_stand_in_for_layers_or_hidden() -> None:
    by_layers = shape_of_numbers("parameters=6.7B,layers=32")
    by_hidden = shape_of_numbers("parameters=6.7e9,hidden=4096")
    assert by_layers.hidden_size == pytest.approx(4096, rel=0.02)
    assert (by_hidden.num_layers, by_hidden.hidden_size) == (32, 4096)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers=32", "two of parameters, layers and hidden are needed"),
        ("layers=32,width=4", "'width=4' describes no model"),
        ("layers=many,hidden=64", "'layers=many' has no positive number"),
        ("layers=2,hidden=64,tied=perhaps", "'tied=perhaps' is neither yes nor no"),
        ("layers=2,hidden=64,heads=3", "hidden 64 is not a multiple of heads 3"),
        ("layers=2,hidden=64,heads=4,kv_heads=3", "4 heads do not share 3 key-value heads"),
        ("layers=2,hidden=64,experts=2,chosen=4", "a token uses 4 of 2 experts"),
        ("layers=32,hidden=4096,parameters=70B", "these numbers give 6.65B parameters, not 70B"),
    ],
)
def test_numbers_that_describe_no_model_are_told(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        shape_of_numbers(text)


def test_every_second_layer_may_have_experts() -> None:
    shape = ModelShape(4, 8, 2, 2, 4, 32, 100, num_experts=4, num_computed=2, expert_interval=2)
    assert [shape.num_stored(layer) for layer in range(4)] == [4, 1, 4, 1]
    assert [shape.num_used(layer) for layer in range(4)] == [2, 1, 2, 1]
