import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.workers.goldens import GOLDENS, assert_close, load, read_golden, serve
from vocabulary.errors import InvalidInput
from workers.weights import open_source


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A copy of a checkpoint that a test may damage."""
    return shutil.copytree(GOLDENS / "llama", tmp_path / "llama")


def edit_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(directory: Path, change) -> None:
    path = directory / "model.safetensors"
    save_file(change(load_file(path)), path)


def shard(directory: Path) -> None:
    """Two files and an index, as large checkpoints come."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, directory / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def assert_serves_as_golden(source: str | Path) -> None:
    golden = read_golden("llama")
    output = serve(load(source, batch_buckets=(8,)), golden.requests)
    assert_close(output[2], golden.outputs[2])


def test_shards_with_an_index_are_one_checkpoint(llama):
    shard(llama)
    assert_serves_as_golden(llama)


def test_a_file_url_is_a_path(llama):
    assert_serves_as_golden(f"file://{llama}")


def test_names_without_the_models_prefix_are_found(llama):
    rewrite(llama, lambda tensors: {name.removeprefix("model."): one for name, one in tensors.items()})
    assert_serves_as_golden(llama)


def test_bfloat16_weights_are_computed_in_float32(llama):
    rounded = load_file(llama / "model.safetensors")
    rounded = {name: one.astype(ml_dtypes.bfloat16) for name, one in rounded.items()}
    rewrite(llama, lambda tensors: rounded)
    (from_half,) = serve(load(llama), [{"input_ids": np.array([[1, 2, 3]])}])
    rewrite(llama, lambda tensors: {name: one.astype(np.float32) for name, one in rounded.items()})
    (from_single,) = serve(load(llama), [{"input_ids": np.array([[1, 2, 3]])}])
    np.testing.assert_array_equal(from_half, from_single)


def test_only_the_part_that_is_asked_for_is_read():
    checkpoint = open_source("gpt2", base_dir=GOLDENS)
    name = "transformer.h.0.attn.c_attn.weight"
    whole = load_file(GOLDENS / "gpt2" / "model.safetensors")[name]
    np.testing.assert_array_equal(checkpoint.read(name, (slice(0, 32), slice(32, 64))), whole[:, 32:64])


def test_random_tensors_depend_on_name_and_seed_alone():
    index = (slice(0, 8), slice(0, 8))
    name = "layers.1.self_attn.q_proj.weight"
    one, two = (open_source(f"random://llama-tiny?seed={seed}", base_dir=GOLDENS) for seed in (5, 6))
    again = open_source("random://llama-tiny?seed=5", base_dir=GOLDENS)
    two.read(name, index)
    np.testing.assert_array_equal(one.read(name, index), again.read(name, index))
    assert (one.read(name, index) != two.read(name, index)).all()
    assert one.read(name, (slice(None), slice(None))).std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "there is no directory .*nowhere"),
        ("s3://bucket/model", "unknown scheme 's3'"),
        ("file://otherhost/model", "'otherhost' is a host"),
        ("random://llama-huge", "no random model 'llama-huge'"),
        ("random://t5-tiny", "no random model 't5-tiny'"),
        ("random://llama-tiny?seed=one", "query 'seed=one' is not seed=N"),
        ("random://llama-tiny?sed=1", "query 'sed=1' is not seed=N"),
        ("package://no_such_package_at_all/model", "no package 'no_such_package_at_all' is installed"),
        ("package://os.path/model", "no package 'os.path' is installed"),
        ("package://numpy/../../../etc", "leads out of package numpy"),
        ("package://numpy//etc", "leads out of package numpy"),
    ],
)
def test_a_source_that_can_not_be_opened_says_why(source, message):
    with pytest.raises(InvalidInput, match=message):
        open_source(source, base_dir=GOLDENS)


def test_a_missing_config_is_named(llama):
    (llama / "config.json").unlink()
    with pytest.raises(InvalidInput, match=r"there is no config\.json"):
        load(llama)


def test_a_malformed_config_is_named(llama):
    (llama / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="not JSON"):
        load(llama)


def test_pickled_weights_are_refused(llama):
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    with pytest.raises(InvalidInput, match=r"only pickled weights \(pytorch_model\.bin\)") as caught:
        load(llama)
    assert "safetensors" in caught.value.hint


def test_a_directory_without_weights_is_refused(llama):
    (llama / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"neither model\.safetensors nor"):
        load(llama)


def test_a_file_that_is_no_safetensors_is_refused(llama):
    (llama / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InvalidInput, match="not a safetensors file"):
        load(llama)


def test_a_missing_tensor_is_named(llama):
    rewrite(llama, lambda tensors: {name: one for name, one in tensors.items() if name != "lm_head.weight"})
    with pytest.raises(InvalidInput, match=r"no tensor model\.lm_head\.weight or lm_head\.weight"):
        load(llama)


def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(llama):
    edit_config(llama, intermediate_size=64)
    with pytest.raises(InvalidInput, match=r"_proj\.weight has shape .*48.*asks for .*64"):
        load(llama)


def test_quantised_weights_are_refused(llama):
    edit_config(llama, quantization_config={"bits": 4})
    with pytest.raises(InvalidInput, match="quantization_config"):
        load(llama)


def test_a_shard_outside_the_directory_is_refused(llama):
    shard(llama)
    index = {"weight_map": {"norm.weight": "../llama/model-1.safetensors"}}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidInput, match="is not a file beside the index"):
        load(llama)
