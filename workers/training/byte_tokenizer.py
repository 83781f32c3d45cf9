"""A tokenizer whose tokens are the 256 bytes, under their own numbers, and the end of a text."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

END_OF_TEXT = 256
END_OF_TEXT_NAME = "<|endoftext|>"
NUM_TOKENS = 257


def byte_tokenizer() -> Tokenizer:
    """Ids are the bytes of the text in UTF-8; END_OF_TEXT where its name stands."""
    vocabulary = {letter: byte for byte, letter in enumerate(letters())}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT_NAME, special=True, normalized=False)])
    assert tokenizer.get_vocab_size() == NUM_TOKENS
    return tokenizer


def letters() -> tuple[str, ...]:
    """The letter that stands for each byte in byte-level vocabularies (GPT-2's): its own where it is seen."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return tuple(chr(byte) if byte in seen else chr(next(others)) for byte in range(256))
