"""Stop strings are met over the borders of pieces, and nothing of them or after them is told."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.text.stop_strings import StopScanner

letters = st.text("ab", max_size=30)
stops = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3).map(tuple)


def told_in_one(text: str, stops: tuple[str, ...], *, includes_stop: bool) -> tuple[str, bool]:
    """The oracle: letter by letter, until the end of what there is is a stop string."""
    for end in range(1, len(text) + 1):
        met = [stop for stop in stops if text[:end].endswith(stop)]
        if met:
            longest = max(map(len, met))
            return text[: end if includes_stop else end - longest], True
    return text, False


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    return [*pieces, text[start:]]


@settings(max_examples=400, deadline=None)
@given(letters, st.lists(st.integers(0, 5), max_size=12), stops, st.booleans())
def test_pieces_tell_what_the_whole_text_would(
    text: str, sizes: list[int], stops: tuple[str, ...], includes_stop: bool
) -> None:
    scanner = StopScanner(stops, includes_stop=includes_stop)
    told = [scanner.push(piece).text for piece in cut(text, sizes)]
    expected, is_stopped = told_in_one(text, stops, includes_stop=includes_stop)
    assert scanner.is_stopped is is_stopped
    assert "".join(told) + scanner.finish() == expected


def test_text_is_held_back_only_while_it_may_begin_a_stop_string() -> None:
    scanner = StopScanner(("\n\nUser:",))
    assert scanner.push("Hello.").text == "Hello."
    assert scanner.push("\n").text == ""
    assert scanner.push("\nUs").text == ""
    assert scanner.push("ually").text == "\n\nUsually"
    assert scanner.push(" so\n\nUser: and").text == " so"
    assert scanner.is_stopped
    assert scanner.push("more").text == ""


def test_without_stop_strings_nothing_is_held_back() -> None:
    scanner = StopScanner(())
    assert scanner.push("all of it").text == "all of it"
    assert scanner.finish() == ""
