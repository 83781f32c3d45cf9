"""What a checkpoint's folder says about text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from controller.text import open_text
from controller.text.model_text import NO_TEXT
from tests.controller.text.tokenizers_for_tests import BOS, EOS, byte_level, bytes_only
from vocabulary.deployment import ModelSpec
from vocabulary.errors import InvalidInput

ROOT = Path(__file__).parents[3]
HELLO = [{"role": "user", "content": "hi"}]


def write(folder: Path, name: str, document: object) -> None:
    folder.mkdir(exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / name).write_text(text, encoding="utf-8")


def opened(folder: Path) -> object:
    return open_text(ModelSpec("chat", source=folder.name), folder=folder.parent)


def prompt_of(folder: Path) -> str:
    text = opened(folder)
    assert text.template is not None
    return text.template.prompt(HELLO)


def test_a_checkpoint_has_a_tokenizer_and_a_template_with_its_special_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    write(folder, "tokenizer.json", bytes_only().to_str())
    write(
        folder,
        "tokenizer_config.json",
        {
            "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
            "bos_token": "<s>",
            "eos_token": {"content": "</s>", "special": True},
        },
    )
    assert prompt_of(folder) == "<s>hi</s>"
    codec = opened(folder).codec
    assert codec.decode(codec.encode("wörld")) == "wörld"


def test_a_template_file_of_its_own_counts_first(tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    write(folder, "tokenizer_config.json", {"chat_template": "from the configuration"})
    assert prompt_of(folder) == "from the configuration"
    write(folder, "chat_template.json", {"chat_template": "from json"})
    assert prompt_of(folder) == "from json"
    write(folder, "chat_template.jinja", "from jinja")
    assert prompt_of(folder) == "from jinja"


def test_of_several_templates_the_default_is_taken(tmp_path: Path) -> None:
    templates = [{"name": "rag", "template": "rag"}, {"name": "default", "template": "default"}]
    write(tmp_path / "chat", "tokenizer_config.json", {"chat_template": templates})
    assert prompt_of(tmp_path / "chat") == "default"


@pytest.mark.parametrize(
    "source", ["random://llama-tiny?seed=1", "nowhere", "python://models.py:build", None]
)
def test_a_source_without_files_has_no_text(source: str | None, tmp_path: Path) -> None:
    assert open_text(ModelSpec("chat", source=source), folder=tmp_path) == NO_TEXT


@pytest.mark.parametrize(
    ("name", "document", "words"),
    [
        ("tokenizer.json", "{}", "not a tokenizer"),
        ("tokenizer_config.json", "[]", "not a JSON object"),
        ("tokenizer_config.json", {"chat_template": 3}, "neither a template"),
        ("chat_template.jinja", "{% if %}", "not a chat template"),
    ],
)
def test_a_broken_file_is_told_with_its_path(name: str, document: object, words: str, tmp_path: Path) -> None:
    write(tmp_path / "chat", name, document)
    with pytest.raises(InvalidInput, match=words) as caught:
        opened(tmp_path / "chat")
    assert name in str(caught.value)


def test_what_transformers_saves_gives_the_same_tokens_and_text_here(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not here")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_level(), bos_token=BOS, eos_token=EOS, pad_token=EOS
    )
    theirs.chat_template = (
        "{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    theirs.save_pretrained(tmp_path / "chat")
    messages = [{"role": "system", "content": "  wörld 😀"}, {"role": "user", "content": "the then\n"}]
    text = opened(tmp_path / "chat")
    prompt = text.template.prompt(messages)
    assert prompt == theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = text.codec.encode(prompt, adds_special=False)
    assert list(ids) == theirs(prompt, add_special_tokens=False)["input_ids"]
    assert text.codec.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_text_is_read_without_jax() -> None:
    """The controller has no use for it, and it takes a second to import."""
    program = "import controller.http.server, controller.text, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
