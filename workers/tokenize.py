"""Text to token ids with a checkpoint's own tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import final

import numpy as np
from tokenizers import Tokenizer

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from workers.sources import in_its_folder, read_json


@final
class TextTokenizer:
    """Cuts texts to `max_length` tokens, special ones included."""

    def __init__(self, tokenizer: Tokenizer, *, max_length: int) -> None:
        self._tokenizer = tokenizer
        self.max_length = max_length

    def ids(self, texts: Iterable[str]) -> list[np.ndarray]:
        """int32 ids of every text, without padding."""
        return [np.asarray(one.ids, np.int32) for one in self._tokenizer.encode_batch(list(texts))]


def open_tokenizer(directory: Path, *, max_positions: int) -> TextTokenizer:
    """The tokenizer of a checkpoint; the length limit is the sentence configuration's, else the model's."""
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise InvalidInput("there is no tokenizer.json, so text cannot be its input", where=str(directory))
    try:
        tokenizer = Tokenizer.from_file(str(in_its_folder(path)))
    except InvalidInput:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a malformed file
        raise InvalidInput(f"not a tokenizer: {error}", where=str(path)) from error
    max_length = min(_sentence_limit(directory, default=max_positions), max_positions)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return TextTokenizer(tokenizer, max_length=max_length)


def _sentence_limit(directory: Path, *, default: int) -> int:
    path = directory / "sentence_bert_config.json"
    if not path.is_file():
        return default
    return HubConfig(read_json(path), str(path)).count("max_seq_length", default)


def decode_texts(text_input: np.ndarray) -> list[str]:
    """The elements of a BYTES tensor as text. Raises InvalidInput if one is not UTF-8."""
    return [_decode(element) for element in text_input.reshape(-1).tolist()]


def _decode(element: object) -> str:
    if isinstance(element, str):
        return element
    if not isinstance(element, bytes):
        raise InvalidInput(f"text_input holds {type(element).__name__}, not text")
    try:
        return element.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"text_input is not UTF-8: {error}") from error
