"""The headers of W3C Trace Context."""

from __future__ import annotations

import pytest

from controller.tracing.traceparent import Parent, parent_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f" 00-{TRACE}-{SPAN}-01 ", True),
        (f"cc-{TRACE}-{SPAN}-01-what-a-later-version-says", True),
    ],
)
def test_a_callers_span_is_known(text: str, is_sampled: bool):
    assert parent_of(text, None) == Parent(int(TRACE, 16), int(SPAN, 16), is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n00-{TRACE}-{SPAN}-01",
        "é" * 55,
    ],
)
def test_what_cannot_be_read_is_no_caller(text: str | None):
    assert parent_of(text, "a=1") is None


def test_what_vendors_say_is_carried_on_unless_it_is_too_long():
    good = f"00-{TRACE}-{SPAN}-01"
    assert parent_of(good, "rojo=1,congo=2").state == "rojo=1,congo=2"
    assert parent_of(good, "x" * 513).state == ""
