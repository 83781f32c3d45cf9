"""Text of tokens that come one by one is the text of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from controller.text.codec import TextCodec
from controller.text.detokenizer import Detokenizer
from tests.controller.text.tokenizers_for_tests import (
    BOS,
    EOS,
    byte_fallback,
    byte_level,
    bytes_only,
    metaspace,
)

TOKENIZERS = {
    "byte_level": byte_level(),
    "bytes_only": bytes_only(),
    "metaspace": metaspace(),
    "byte_fallback": byte_fallback(),
}
CODECS = {name: TextCodec(tokenizer) for name, tokenizer in TOKENIZERS.items()}
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)
any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=40)


def pieces_of(
    codec: TextCodec, token_ids: Sequence[int], *, after: Sequence[int] = (), skips_special: bool = True
) -> list[str]:
    detokenizer = Detokenizer(codec, after=after, skips_special=skips_special)
    pieces = [detokenizer.push(token) for token in token_ids]
    return [*pieces, detokenizer.finish()]


@every_tokenizer
@settings(max_examples=150, deadline=None)
@given(text=any_text)
@example(text="  two  spaces   three ")
@example(text="é€😀 the 日本語 then\n\n  ")
def test_pieces_of_a_text_are_the_text(name: str, text: str) -> None:
    codec = CODECS[name]
    token_ids = codec.encode(text, adds_special=False)
    pieces = pieces_of(codec, token_ids)
    assert "".join(pieces) == codec.decode(token_ids)
    assert all("\ufffd" not in piece for piece in pieces), "half a character was told"


@every_tokenizer
@settings(max_examples=150, deadline=None)
@given(prompt=any_text, text=any_text)
@example(prompt="the", text="then these")
def test_an_answer_that_goes_on_is_what_it_adds_to_the_prompt(name: str, prompt: str, text: str) -> None:
    codec = CODECS[name]
    before, answer = codec.encode(prompt), codec.encode(text, adds_special=False)
    added = "".join(pieces_of(codec, answer, after=before))
    assert codec.decode(before) + added == codec.decode(before + answer)


def test_the_first_word_of_an_answer_that_goes_on_keeps_its_space() -> None:
    codec = CODECS["metaspace"]
    before, answer = codec.encode("the then"), codec.encode("these", adds_special=False)
    assert "".join(pieces_of(codec, answer, after=before)) == " these"
    assert "".join(pieces_of(codec, answer)) == "these"


# Not byte_fallback, whose decoder takes characters back (the exception in Detokenizer's docstring).
@pytest.mark.parametrize("name", ["byte_level", "bytes_only", "metaspace"])
@settings(max_examples=200, deadline=None)
@given(data=st.data(), skips_special=st.booleans())
def test_pieces_of_any_tokens_are_what_decode_gives(
    name: str, data: st.DataObject, skips_special: bool
) -> None:
    codec = CODECS[name]
    size = TOKENIZERS[name].get_vocab_size() + 3  # some that the tokenizer does not know
    token_ids = data.draw(st.lists(st.integers(0, size - 1), max_size=60))
    pieces = pieces_of(codec, token_ids, skips_special=skips_special)
    assert "".join(pieces) == codec.decode(token_ids, skips_special=skips_special)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*range(3, 35), *range(36, 294), *[258] * 60]), max_size=60))  # no <0x20>
@example([258, *[198, 172] * 12, 262])
def test_every_byte_is_in_a_character_or_told_as_none(token_ids: list[int]) -> None:
    codec = CODECS["byte_fallback"]
    told = "".join(pieces_of(codec, token_ids))
    num_bytes = sum(1 if char == "\ufffd" else len(char.encode()) for char in told)
    spelled = b"".join(map(codec.token_bytes, token_ids))
    assert num_bytes == len(spelled.removeprefix(b" "))


def test_garbage_without_end_is_told_as_it_comes() -> None:
    codec = CODECS["bytes_only"]
    lone = next(iter(codec.encode("é", adds_special=False)[1:]))  # a byte that no character begins with
    detokenizer = Detokenizer(codec)
    told = [detokenizer.push(lone) for _ in range(100)]
    assert len("".join(told)) > 50, "the text is held back"
    assert "".join(told) + detokenizer.finish() == codec.decode([lone] * 100)


@every_tokenizer
def test_a_character_waits_for_its_last_byte(name: str) -> None:
    codec = CODECS[name]
    token_ids = codec.encode("a😀", adds_special=False)
    pieces = pieces_of(codec, token_ids)
    assert all(piece in ("", "a", "😀", "a😀", " ") or name == "metaspace" for piece in pieces)


@every_tokenizer
def test_special_tokens_have_text_only_where_they_are_wanted(name: str) -> None:
    tokenizer, codec = TOKENIZERS[name], CODECS[name]
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    token_ids = (bos, *codec.encode("the then", adds_special=False), eos)
    assert "".join(pieces_of(codec, token_ids)) == "the then"
    shown = "".join(pieces_of(codec, token_ids, skips_special=False))
    assert shown == codec.decode(token_ids, skips_special=False)
    assert BOS in shown and EOS in shown


@every_tokenizer
@settings(max_examples=100, deadline=None)
@given(text=any_text)
def test_bytes_of_tokens_are_the_bytes_of_the_text(name: str, text: str) -> None:
    codec = CODECS[name]
    token_ids = codec.encode(text, adds_special=False)
    together = b"".join(map(codec.token_bytes, token_ids))
    if name in ("byte_level", "bytes_only"):
        assert together == text.encode()
    elif name == "byte_fallback":
        assert together == b" " + text.encode() or not text


def test_a_tokenizer_that_cuts_and_pads_does_neither_here() -> None:
    tokenizer: Tokenizer = bytes_only()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    assert len(TextCodec(tokenizer).encode("longer than four")) == 16
