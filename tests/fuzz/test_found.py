"""Inputs that fuzzing found, each with what was wrong."""

from __future__ import annotations

import msgspec
import pytest

from controller.grpc_v2.text_parameters import options_in_json
from controller.http.chat_request import parse_chat
from controller.http.v2_tensors import asking_of
from controller.text import Refused
from controller.text.chat_template import ChatTemplate
from vocabulary.errors import InvalidInput, RuntimeFailure
from vocabulary.formats.outcomes import parse_outcomes
from vocabulary.formats.trace import read_trace
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from workers.frames import FrameReader, Gone, encode_frame


def test_text_of_a_body_that_is_no_utf8_is_the_clients_fault() -> None:
    """msgspec says UnicodeDecodeError, which is no DecodeError of its own: it was answered with 500."""
    for body in (b'{"model": "\xff"}', b'{"mod\xe0el": "a"}'):
        with pytest.raises(Refused, match="not JSON"):
            parse_chat(body)
        with pytest.raises(Refused, match="not an inference request"):
            asking_of(body, None, model="m", version="")


def test_text_of_a_frame_that_is_no_utf8_ends_the_link_only() -> None:
    """The same in a frame's header: it went through the loop's callback as an unknown error."""
    frame = b"".join(bytes(part) for part in encode_frame(Gone("why")))
    with pytest.raises(RuntimeFailure, match="what was sent"):
        list(FrameReader().feed(frame.replace(b"why", b"\xff\xff\xff")))
    assert msgspec.msgpack.encode(Gone("why"))[-3:] == b"why"
    with pytest.raises(RuntimeFailure, match="does not decode"):
        list(FrameReader().feed(_summed(msgspec.msgpack.encode(Gone("why"))[:-3] + b"\xff\xff\xff")))


def test_template_that_computes_with_infinity_is_refused() -> None:
    """jinja writes the constant 1e309 as `inf`, which is no name: NameError, answered with 500."""
    template = ChatTemplate("{{ messages[0]['content'][:1e309] }}", tokens={}, where="t")
    with pytest.raises(Refused, match="does not take these messages"):
        template.prompt([{"role": "user", "content": "a"}])


@pytest.mark.parametrize("number", ["9" * 30, "1" * 300])
def test_whole_number_that_no_int64_holds_is_a_time_or_is_told(number: str) -> None:
    """arrow makes a float of a whole number only where it fits int64: ArrowInvalid, a traceback."""
    lines = f'{{"timestamp_s": {number}, "model": "a"}}\n{{"timestamp_s": 0, "model": 1}}\n'
    with pytest.raises(InvalidInput):
        read_trace(lines.encode(), name="t.jsonl")
    assert len(read_trace(lines.encode(), name="t.jsonl", skips_bad=True).trace) <= 1


def test_whole_number_that_no_float_holds_is_refused_as_a_parameter() -> None:
    """math.isfinite says OverflowError: it was answered with 500."""
    for name in ("temperature", "slo_ms", "timeout"):
        with pytest.raises(Refused, match="a number >= 0"):
            options_in_json(b'{"%s": %s}' % (name.encode(), b"1" * 400), model="m")


@pytest.mark.parametrize("start", [b"", b" ", b"\n\n\t", b"\xef\xbb\xbf"])
def test_trace_whose_first_row_is_null_ends_nothing(start: bytes) -> None:
    """arrow's reader of JSON lines follows a null pointer there: SIGSEGV."""
    rows = start + b'null\n{"timestamp_s": 0, "model": "a"}\n'
    with pytest.raises(InvalidInput, match="not a JSON object"):
        read_trace(rows, name="t.jsonl")
    assert len(read_trace(rows, name="t.jsonl", skips_bad=True).trace) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0,a,0.5,g0,1,0.75,\n1,a,0.25,g0,1,0.75,", "arrives before the one above"),
        ("0,a,nan,g0,1,0.75,", "not finite"),
        ("0,a,0.5,g0,1,inf,", "not finite"),
        ("0,a,0.5\r,g0,1,0.75,", "not CSV"),
    ],
)
def test_outcome_file_with_times_that_cannot_be_is_told_with_its_line(rows: str, words: str) -> None:
    """Arrivals that went back were an assertion of the trace; carriage returns an error of csv's own."""
    placement = Placement((Group("g0", ("n-0:0",), ParallelConfig(1, 1), ("a",)),))
    text = f"request_id,model,arrival_s,group,good,finish_s,reason\n{rows}\n"
    with pytest.raises(InvalidInput, match=words) as caught:
        parse_outcomes(text, name="o.csv", placement=placement)
    assert str(caught.value.where).startswith("o.csv:")


def _summed(header: bytes) -> bytes:
    from workers import frames

    lengths = frames._LENGTHS.pack(len(header), len(header))
    return lengths + frames.crc32(header, frames.crc32(lengths)).to_bytes(4, "little") + header
