"""A checkpoint's tokenizer.json as the front end uses it: text to tokens, tokens to text and to bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import final

from tokenizers import Tokenizer

from vocabulary.errors import InvalidInput
from workers.sources import in_its_folder

_NUM_BYTES_CACHED = 1 << 16


@final
class TextCodec:
    """One tokenizer, which neither cuts nor pads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(token for token, entry in added.items() if entry.special)
        self._added = {token: entry.content for token, entry in added.items()}
        self._spelling = _Spelling.of(tokenizer)
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self.longest_token_chars = max(map(len, vocabulary), default=1)
        self.token_bytes = lru_cache(_NUM_BYTES_CACHED)(self._token_bytes)

    def encode(self, text: str, *, adds_special: bool = True) -> tuple[int, ...]:
        """Token ids. Takes about a second a megabyte; other threads run meanwhile."""
        return tuple(self._tokenizer.encode_batch_fast([text], add_special_tokens=adds_special)[0].ids)

    def decode(self, token_ids: Sequence[int], *, skips_special: bool = True) -> str:
        """The text of tokens; those that the tokenizer does not know have none."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=skips_special)

    def has_text(self, token_id: int, *, skips_special: bool = True) -> bool:
        """Whether `decode` looks at the token at all."""
        if skips_special and token_id in self._special:
            return False
        return self._tokenizer.id_to_token(token_id) is not None

    def _token_bytes(self, token_id: int) -> bytes:
        """What the token stands for; may be part of a character. Empty where it is not known."""
        if token_id in self._added:
            return self._added[token_id].encode()
        token = self._tokenizer.id_to_token(token_id)
        return b"" if token is None else self._spelling.bytes_of(token)


def open_codec(directory: Path) -> TextCodec | None:
    """The tokenizer of a checkpoint's folder, None where it has none. Raises InvalidInput if it is broken."""
    path = directory / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        return TextCodec(Tokenizer.from_file(str(in_its_folder(path))))
    except InvalidInput:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a malformed file
        raise InvalidInput(f"not a tokenizer: {error}", where=str(path)) from error


@final
class _Spelling:
    """How a tokenizer writes bytes in the names of its tokens, told by its decoder."""

    def __init__(self, *, is_byte_level: bool, falls_back_to_bytes: bool, space: str) -> None:
        self._is_byte_level = is_byte_level
        self._falls_back = falls_back_to_bytes
        self._space = space

    @staticmethod
    def of(tokenizer: Tokenizer) -> _Spelling:
        state = json.loads(tokenizer.decoder.__getstate__()) if tokenizer.decoder is not None else {}
        steps = {step["type"]: step for step in _steps(state)}
        space = steps.get("Metaspace", {}).get("replacement", "")
        if "Replace" in steps and steps["Replace"].get("content") == " ":
            space = steps["Replace"]["pattern"].get("String", "")
        return _Spelling(
            is_byte_level="ByteLevel" in steps, falls_back_to_bytes="ByteFallback" in steps, space=space
        )

    def bytes_of(self, token: str) -> bytes:
        if self._is_byte_level and all(char in _BYTE_OF_CHAR for char in token):
            return bytes(_BYTE_OF_CHAR[char] for char in token)
        if self._falls_back and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5])
        return (token.replace(self._space, " ") if self._space else token).encode()


def _steps(state: dict) -> Iterator[dict]:
    if state.get("type") == "Sequence":
        for step in state["decoders"]:
            yield from _steps(step)
    elif state:
        yield state


def _chars_of_bytes() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes for 256 and up in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {chr(256 + index): byte for index, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted


_BYTE_OF_CHAR = _chars_of_bytes()
