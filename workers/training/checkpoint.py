"""A byte-level Llama as a folder in the format of Hugging Face: weights, configuration, tokenizer."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from workers.training.byte_llamas import Weights
from workers.training.byte_tokenizer import END_OF_TEXT, END_OF_TEXT_NAME, byte_tokenizer

_TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "eos_token": END_OF_TEXT_NAME,
    "pad_token": END_OF_TEXT_NAME,
    "clean_up_tokenization_spaces": False,
    "model_max_length": 1024,
    # It has learned text, not talk: what was said, one after the other.
    "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
}
_GENERATION = {"eos_token_id": END_OF_TEXT, "pad_token_id": END_OF_TEXT}


def save_checkpoint(folder: Path, *, size: Mapping[str, object], weights: Weights) -> None:
    """Written beside and moved in at once; what lies there under these names is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
        new = Path(name)
        arrays = {key: np.ascontiguousarray(weight) for key, weight in weights.items()}
        save_file(arrays, new / "model.safetensors", metadata={"format": "pt"})
        (new / "model.safetensors").chmod(0o644)  # safetensors gives it to its owner only
        byte_tokenizer().save(str(new / "tokenizer.json"))
        documents = (("tokenizer_config", _TOKENIZER), ("generation_config", _GENERATION), ("config", size))
        for stem, document in documents:
            (new / f"{stem}.json").write_text(json.dumps(document, indent=2) + "\n")
        for path in sorted(
            new.iterdir(), reverse=True
        ):  # the configuration last: it says that there is a model
            os.replace(path, folder / path.name)
