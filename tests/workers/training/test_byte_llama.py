"""Training learns; what it saves, this engine and transformers read alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.workers.goldens import assert_close, load, serve
from workers.training.byte_llama import Look, default_folder, train
from workers.training.byte_llamas import SIZES, Weights, parsed
from workers.training.byte_tokenizer import END_OF_TEXT
from workers.training.checkpoint import save_checkpoint
from workers.training.python_text import Text, read_text, windows
from workers.training.training_step import logits

IDS = np.frombuffer(b"import sys\n\n\ndef", np.uint8).astype(np.int64)[None]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    """Of many small files with the same few words in them."""
    folder = tmp_path_factory.mktemp("library")
    for number in range(200):
        (folder / f"part_{number}.py").write_text("def part(self):\n    return self\n" * 40)
    return read_text(folder)


@pytest.fixture(scope="module")
def looks() -> list[Look]:
    return []


@pytest.fixture(scope="module")
def weights(text: Text, looks: list[Look]) -> Weights:
    return train("test", text=text, num_steps=20, seed=0, tell=looks.append, phases=[(1.0, 8, 32)])


@pytest.fixture(scope="module")
def checkpoint(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("byte-llama")
    save_checkpoint(folder, size=SIZES["test"], weights=weights)
    return folder


def test_twenty_steps_lower_the_loss(weights: Weights, looks: list[Look]) -> None:
    first, last = looks[0], looks[-1]
    assert (first.step, last.step) == (1, 20)
    assert last.held_out_loss < 0.7 * first.held_out_loss
    assert "20 of 20" in str(last)


def test_our_loader_gives_the_logits_that_were_trained(checkpoint: Path, weights: Weights) -> None:
    expected = np.asarray(logits(parsed(SIZES["test"]), jax.tree.map(jax.numpy.asarray, dict(weights)), IDS))
    (found,) = serve(load(checkpoint), [{"input_ids": IDS}])
    assert_close(found, expected)


def test_transformers_gives_the_same_logits_and_the_same_tokens(checkpoint: Path) -> None:
    torch = pytest.importorskip("torch", reason="the oracle is not installed: make oracle")
    transformers = pytest.importorskip("transformers", reason="the oracle is not installed: make oracle")
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        expected = model(torch.from_numpy(IDS)).logits.numpy()
    (found,) = serve(load(checkpoint), [{"input_ids": IDS}])
    assert_close(found, expected)
    assert model.generation_config.eos_token_id == END_OF_TEXT
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer(bytes(IDS[0].tolist()).decode())["input_ids"] == IDS[0].tolist()
    assert tokenizer.eos_token_id == END_OF_TEXT


def test_files_are_held_out_whole_and_end(text: Text) -> None:
    num_files = [int((part == END_OF_TEXT).sum()) for part in (text.train, text.held_out)]
    assert sum(num_files) == 200
    assert min(num_files) > 0
    assert text.train[-1] == text.held_out[-1] == END_OF_TEXT
    drawn = windows(text.train, count=3, length=5, draw=np.random.default_rng(0))
    assert (drawn.shape, drawn.dtype) == ((3, 6), np.int32)


def test_the_default_folder_is_the_users_cache() -> None:
    assert default_folder("small", {"XDG_CACHE_HOME": "/c"}) == Path("/c/statmux/byte-llama-v1")
    assert default_folder("draft", {"XDG_CACHE_HOME": "/c"}) == Path("/c/statmux/byte-llama-draft-v1")


def test_an_interrupted_training_keeps_what_it_has(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workers.training.byte_llama", "--size", "test", "--steps", "100000"]
    training = subprocess.Popen(
        [*command, "--out", str(tmp_path / "model")],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert training.stderr is not None
    assert any(line.startswith("step 1 of 100000") for line in training.stderr)
    training.send_signal(signal.SIGINT)
    said, complaints = training.communicate(timeout=60)
    assert (training.returncode, said) == (0, f"{tmp_path / 'model'}\n")
    assert "interrupted" in complaints
    assert json.loads((tmp_path / "model" / "config.json").read_text()) == SIZES["test"]
