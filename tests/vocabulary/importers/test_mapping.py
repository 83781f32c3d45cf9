"""Functions become models: in turns, in blocks, by a file; and only those of a part of the time."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vocabulary.importers.files import PUBLISHED
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import TraceFile
from vocabulary.formats.importers.mapping import (
    between,
    by_file,
    in_blocks,
    in_turns,
    mapped,
    parse_mapping,
)


def test_function_i_goes_to_model_i_mod_m_or_to_a_block():
    assert in_turns(5, 2).tolist() == [0, 1, 0, 1, 0]
    assert in_blocks(5, 2).tolist() == [0, 0, 0, 1, 1]
    assert in_blocks(2, 5).tolist() == [0, 2]


def test_a_mapping_file_may_have_a_header():
    expected = {"f1": "llama", "f2": "bert"}
    for text in (b"function,model\nf1,llama\n\nf2, bert\n", b"\xef\xbb\xbff1,llama\r\nf2,bert\r\nf1,llama"):
        assert parse_mapping(TraceFile("m.csv", text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "m.csv: the mapping is empty"),
        (b"f1,a\nf2\n", "m.csv:2: 'f2' is not a function and its model"),
        (b"f1,a\nf1,b\n", "m.csv:2: function f1 has model b here and a above"),
        (b"f1,\xff\n", "m.csv: not UTF-8 text"),
    ],
)
def test_a_wrong_mapping_file_is_told_with_its_line(text, message):
    with pytest.raises(InvalidInput) as caught:
        parse_mapping(TraceFile("m.csv", text))
    assert str(caught.value) == message


def test_counts_of_functions_of_one_model_are_added():
    windows = import_files("azure-functions-2019", PUBLISHED["azure-functions-2019"])
    both = mapped(windows, np.array([1, 1], np.int32), ("a", "b"))
    assert both.sources == ("a", "b")
    assert both.start_s.tolist() == [0, 120, 1439 * 60]
    assert both.num_requests.tolist() == [2, 5, 1]
    assert both.counts(60.0).sum(axis=1).tolist() == [0, 8]


def test_requests_are_dealt_where_the_file_names_no_model():
    found = import_files("mooncake", PUBLISHED["mooncake"])
    dealt = mapped(found, in_turns(3, 2), ("a", "b"))
    assert dealt.trace.models == ("a", "b")
    assert dealt.trace.model_index.tolist() == [0, 1, 0]
    assert dealt.trace.tokens is found.trace.tokens


def test_functions_that_the_file_does_not_have_are_refused_or_left_out():
    found = import_files("azure-functions-2021", PUBLISHED["azure-functions-2021"])
    lookup = by_file(found.trace.models, {"f2": "a", "app1/f1": "b", "other": "b"}, ("a", "b"))
    with pytest.raises(InvalidInput, match="function app2/f1 has no model"):
        mapped(found, lookup, ("a", "b"))
    rest = mapped(found, lookup, ("a", "b"), skips_bad=True)
    assert rest.trace.arrival_s.tolist() == [0.5, 1.5, 10.0]
    assert rest.trace.model_index.tolist() == [0, 1, 1]
    assert rest.skipped.num_rows == 1


def test_a_model_that_we_do_not_have_is_told():
    with pytest.raises(InvalidInput, match="unknown model 'lama'") as caught:
        by_file(("f1",), {"f1": "lama"}, ("llama", "bert"))
    assert "llama" in caught.value.hint


def test_a_part_of_the_time_has_only_the_functions_invoked_then():
    windows = import_files("azure-functions-2019", PUBLISHED["azure-functions-2019"])
    part = between(windows, 60.0, 3600.0)
    assert part.sources == ("f2",)
    assert part.num_requests.tolist() == [5]
    exact = import_files("azure-functions-2021", PUBLISHED["azure-functions-2021"])
    part = between(exact, 1.0, 3.0)
    assert part.trace.models == ("app1/f1", "app2/f1")
    assert part.trace.arrival_s.tolist() == [1.5, 2.0]
