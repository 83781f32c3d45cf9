import re
from typing import get_args

import jax
import numpy as np
import pytest

from tests.workers.goldens import assert_close, load, read_golden, serve
from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from vocabulary.formats.model_shape import ModelShape
from workers.attention.select import CANDIDATES
from workers.families import FAMILIES, family_of
from workers.families.family import Parameter, Split
from workers.families.operators import causal, masked, whole_text
from workers.families.rope import parse_frequencies

# Mistral is Llama with other rules for config.json.
COMPUTING = [name for name in FAMILIES if name != "mistral"]


def config_of(family: str, **changes: object) -> HubConfig:
    return HubConfig(dict(FAMILIES[family].sizes["tiny"]) | changes, "config.json")


@pytest.mark.parametrize(("family", "tensor"), [("llama", 3), ("mixtral", 3), ("llama", 4)])
def test_operators_that_do_not_divide_are_replicated(family, tensor):
    golden = read_golden(family)
    model = load(family, config=(tensor, 1), batch_buckets=(8,))
    assert_close(serve(model, golden.requests)[3], golden.outputs[3])


def test_a_split_falls_back_to_the_next_and_then_to_none():
    parameter = Parameter(("x",), (4, 6), (Split(0, 4), Split(1, 6)))
    assert [tuple(parameter.spec(tensor)) for tensor in (2, 3, 5)] == [("tensor",), (None, "tensor"), ()]


@pytest.mark.parametrize("family", COMPUTING)
def test_a_layer_sums_over_the_devices_twice_and_the_embedding_once(family):
    """Two all-reduces of the activations a layer (Megatron), and no weight ever travels."""
    model = load(f"random://{family}-tiny", config=(2, 1))
    model.compile()
    (executable,) = model._stages[0]._executables.values()
    collectives = re.findall(r"= (\S+) (all-\w+|collective-\w+|reduce-scatter)\(", executable.as_text())
    num_layers = 4
    assert len(collectives) == 2 * num_layers + 1
    assert {(kind, shape.partition("{")[0]) for shape, kind in collectives} == {
        ("all-reduce", "f32[1,16,128]")
    }


@pytest.mark.parametrize("family", [name for name in COMPUTING if not name.startswith("qwen")])
def test_a_random_model_depends_on_its_input_and_its_seed_only(family):
    request = {"input_ids": np.arange(12).reshape(1, 12)}
    model = load(f"random://{family}-tiny?seed=1")
    (first,) = serve(model, [request])
    (again,) = serve(load(f"random://{family}-tiny?seed=1", config=(2, 2)), [request])
    (other_seed,) = serve(load(f"random://{family}-tiny?seed=2"), [request])
    (other_ids,) = serve(model, [{"input_ids": request["input_ids"] + 1}])
    assert_close(again, first)
    scale = np.abs(first).max()
    assert np.abs(other_seed - first).max() > 0.1 * scale
    assert np.abs(other_ids - first).max() > 0.1 * scale


@pytest.mark.parametrize("family", ["gpt2", "llama", "mixtral", "opt"])
def test_a_decoder_does_not_see_later_tokens(family):
    model = load(f"random://{family}-tiny")
    row = np.arange(12).reshape(1, 12)
    changed = np.where(np.arange(12) < 8, row, row + 7)
    before, after = (serve(model, [{"input_ids": one}])[0] for one in (row, changed))
    np.testing.assert_array_equal(before[:, :8], after[:, :8])
    assert np.abs(before[:, 8:] - after[:, 8:]).max() > 0.1


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, "only 'absolute' is implemented"),
        ("bert", {"num_attention_heads": 3}, "hidden_size 128 is not a multiple of num_attention_heads 3"),
        ("bert", {"hidden_act": "mish"}, "hidden_act is 'mish'; implemented: gelu"),
        ("bert", {"hidden_size": "128"}, "hidden_size is '128', not a positive whole number"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "only False is implemented"),
        ("gpt2", {"n_layer": None}, "n_layer is missing"),
        ("llama", {"attention_bias": True}, "attention_bias is True"),
        ("llama", {"num_key_value_heads": 3}, "num_attention_heads 8 is not a multiple"),
        ("llama", {"rope_scaling": {"rope_type": "yarn"}}, "rope_type is 'yarn'; implemented: default"),
        ("mixtral", {"sliding_window": 4096}, "only unset is implemented"),
        ("mixtral", {"num_experts_per_tok": 5}, "num_experts_per_tok 5 is above num_local_experts 4"),
        ("opt", {"do_layer_norm_before": False}, "only True is implemented"),
        ("qwen3", {"attention_bias": True}, "attention_bias is True; only False is implemented"),
    ],
)
def test_a_model_that_would_answer_wrongly_is_refused(family, changes, message):
    with pytest.raises(InvalidInput, match=message):
        FAMILIES[family].parse(config_of(family, **changes))


def test_a_sliding_window_ends_the_positions_where_it_would_begin_to_matter():
    def positions(family: str, **changes: object) -> int:
        return FAMILIES[family].parse(config_of(family, **changes)).max_positions

    assert positions("mistral", sliding_window=None) == 2048
    assert positions("mistral", sliding_window=512) == 512
    assert positions("mistral", sliding_window=4096) == 2048
    # Qwen names one also where it is not used.
    assert positions("qwen2", sliding_window=512) == 2048
    assert positions("qwen3", sliding_window=512, use_sliding_window=True) == 512


def test_the_architecture_comes_from_the_checkpoint_or_must_agree_with_it():
    assert family_of(config_of("bert")) is FAMILIES["bert"]
    with pytest.raises(InvalidInput, match="the checkpoint is a bert and the deployment says gpt2"):
        family_of(config_of("bert"), "gpt2")
    with pytest.raises(InvalidInput, match="model_type 't5' is not implemented; there are bert, gpt2"):
        family_of(config_of("bert", model_type="t5"))


def test_both_spellings_of_rope_mean_the_same():
    old = HubConfig({"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}}, "old")
    new = HubConfig({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}}, "new")
    frequencies = [parse_frequencies(one, head_width=8, default_theta=1e4) for one in (old, new)]
    assert frequencies[0] == frequencies[1]
    assert frequencies[0][0] == 0.5


def test_functions_are_pure_and_trace_without_devices():
    family = FAMILIES["llama"]
    config = family.parse(config_of("llama"))
    structs = {
        name: jax.ShapeDtypeStruct(parameter.shape, np.float32)
        for name, parameter in family.layer_parameters(config, 0).items()
    }
    x_BLD = jax.ShapeDtypeStruct((2, 8, 128), np.float32)
    got = jax.eval_shape(
        lambda params, x: family.layer(config, params, x, whole_text(8), masked(causal(8))), structs, x_BLD
    )
    assert (got.shape, got.dtype) == (x_BLD.shape, x_BLD.dtype)


def test_a_deployment_may_name_every_family():
    choices = get_args(ModelShape.model_fields["architecture"].annotation)
    assert set(choices) == {"auto", *FAMILIES}


def test_a_deployment_may_name_every_attention_backend():
    choices = get_args(ModelShape.model_fields["attention"].annotation)
    assert set(choices) == {"auto"} | {one.name for ones in CANDIDATES.values() for one in ones}
