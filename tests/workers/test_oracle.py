"""Live against transformers, where the oracle group is installed: variants that the goldens do not hold."""

import shutil

import numpy as np
import pytest

from tests.workers.goldens import FAMILY_NAMES, GOLDENS, TOLERANCE, assert_close, load, read_golden, serve

_REASON = "the oracle is not installed: make oracle"
pytest.importorskip("torch", reason=_REASON)
transformers = pytest.importorskip("transformers", reason=_REASON)

from tests.workers import oracle  # noqa: E402  (needs torch)

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}
VARIANTS = {
    "llama with one key-value head and a tied head": transformers.LlamaConfig(
        **SMALL, intermediate_size=40, num_key_value_heads=1, tie_word_embeddings=True
    ),
    "llama with wide heads and linear rope": transformers.LlamaConfig(
        **SMALL,
        intermediate_size=40,
        num_key_value_heads=2,
        head_dim=16,
        rms_norm_eps=1e-3,
        rope_parameters={"rope_type": "linear", "factor": 2.5, "rope_theta": 1000.0},
    ),
    "mixtral with three experts and one chosen": transformers.MixtralConfig(
        **SMALL, intermediate_size=24, num_key_value_heads=4, num_local_experts=3, num_experts_per_tok=1
    ),
    "gpt2 with a head of its own": transformers.GPT2Config(
        vocab_size=63, n_embd=32, n_layer=2, n_head=4, n_inner=40, n_positions=32, tie_word_embeddings=False
    ),
    "bert with another activation": transformers.BertConfig(
        **SMALL, intermediate_size=40, hidden_act="gelu_new", layer_norm_eps=1e-3
    ),
    "opt with a head of its own": transformers.OPTConfig(**SMALL, ffn_dim=40, tie_word_embeddings=False),
}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_goldens_are_what_transformers_answers(family):
    golden = read_golden(family)
    for got, committed in zip(oracle.compute(GOLDENS / family, golden.requests), golden.outputs, strict=True):
        assert_close(got, committed)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(variant, tmp_path):
    oracle.save_random(VARIANTS[variant], tmp_path, seed=3)
    requests = [{"input_ids": np.random.default_rng(1).integers(0, 60, (2, 13))}]
    (expected,) = oracle.compute(tmp_path, requests)
    (output,) = serve(load(tmp_path, config=(2, 2), batch_buckets=(2,)), requests)
    assert_close(output, expected)


def test_the_tolerance_is_tight_enough_to_see_one_wrong_weight(tmp_path):
    from safetensors.numpy import load_file, save_file

    golden = read_golden("mixtral")
    shutil.copytree(GOLDENS / "mixtral", tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.layers.1.block_sparse_moe.experts.2.w2.weight"][3, 5] += 0.1
    save_file(tensors, tmp_path / "model.safetensors")
    (output,) = serve(load(tmp_path), [golden.requests[3]])
    assert np.abs(output - golden.outputs[3]).max() > TOLERANCE * np.abs(golden.outputs[3]).max()
