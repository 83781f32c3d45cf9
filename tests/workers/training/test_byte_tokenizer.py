"""The tokenizer of bytes: what goes in comes out, and ids are the bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.training.byte_tokenizer import END_OF_TEXT, END_OF_TEXT_NAME, NUM_TOKENS, byte_tokenizer, letters

TOKENIZER = byte_tokenizer()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_its_bytes_and_comes_back(text: str) -> None:
    ids = TOKENIZER.encode(text).ids
    if END_OF_TEXT_NAME not in text:
        assert bytes(ids) == text.encode()
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


@given(st.binary())
def test_any_bytes_come_back_from_their_tokens(raw: bytes) -> None:
    byte_of = {letter: byte for byte, letter in enumerate(letters())}
    tokens = [TOKENIZER.id_to_token(byte) for byte in raw]
    assert bytes(byte_of[token] for token in tokens) == raw
    assert TOKENIZER.decode(list(raw)) == raw.decode(errors="replace")


def test_the_end_of_a_text_is_one_token_that_decoding_leaves_out() -> None:
    ids = TOKENIZER.encode(f"x = 1\n{END_OF_TEXT_NAME}").ids
    assert ids == [*b"x = 1\n", END_OF_TEXT]
    assert TOKENIZER.decode(ids) == "x = 1\n"
    assert TOKENIZER.get_vocab_size() == NUM_TOKENS
