"""Whatever a file holds, an importer takes it or says what is wrong with it."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vocabulary.importers.files import PUBLISHED
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.formats import FORMATS, import_files
from vocabulary.formats.importers.imported import TraceFile
from vocabulary.formats.trace import read_trace

NAMES = st.sampled_from(sorted(FORMATS))


def assert_taken_or_told(name: str, files: tuple[TraceFile, ...], *, skips_bad: bool) -> None:
    try:
        import_files(name, files, skips_bad=skips_bad)
    except InvalidInput as error:
        assert error.where
        assert error.hint


def test_every_format_has_a_file_here():
    assert set(PUBLISHED) == set(FORMATS)
    for name, files in PUBLISHED.items():
        assert import_files(name, files).skipped.num_rows == 0


@settings(max_examples=300, deadline=None, derandomize=True)
@given(NAMES, st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes(name, raw, skips_bad):
    assert_taken_or_told(name, (TraceFile("t", raw),), skips_bad=skips_bad)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(("t.csv", "t.jsonl", "t.parquet", "t.csv.gz")),
    st.sampled_from(
        (b"", b"timestamp_s,model,input_tokens,output_tokens\n0,a,1,1\n", b'{"timestamp_s":0,"model":"a"}\n')
    ),
    st.binary(max_size=60),
    st.booleans(),
)
def test_arbitrary_bytes_in_files_of_ours(name, start, raw, skips_bad):
    try:
        reading = read_trace(start + raw, name=name, skips_bad=skips_bad)
    except InvalidInput as error:
        assert error.where
        assert error.hint
    else:
        assert len(reading.trace) + reading.skipped.num_rows > 0


@settings(max_examples=500, deadline=None, derandomize=True)
@given(NAMES, st.booleans(), st.data())
def test_damaged_files(name, skips_bad, data):
    files = []
    for file in PUBLISHED[name]:
        raw = bytearray(file.raw)
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(raw) - 1))
            match data.draw(st.sampled_from(("change", "insert", "cut"))):
                case "change":
                    raw[place] = data.draw(st.integers(0, 255))
                case "insert":
                    raw[place:place] = data.draw(
                        st.sampled_from((b'"', b",", b"\n", b"-", b"9" * 30, b"\0", b"{"))
                    )
                case "cut":
                    del raw[place:]
                    raw += b" "
        files.append(TraceFile(file.name, bytes(raw)))
    assert_taken_or_told(name, tuple(files), skips_bad=skips_bad)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"[" * 100_000, b'{"a":' + b"[" * 100_000, gzip.compress(b"a", mtime=0)[:-9]]
)
def test_nothing_and_too_much(name, raw):
    with pytest.raises(InvalidInput):
        import_files(name, (TraceFile("t", raw),))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"servegen", "azure-functions-2019"}))
def test_formats_of_one_file_refuse_two(name):
    with pytest.raises(InvalidInput, match="is one file, not 2"):
        import_files(name, PUBLISHED[name] * 2)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"alpaserve", "servegen"}))
@pytest.mark.parametrize("other", sorted(set(FORMATS) - {"alpaserve", "servegen"}))
def test_a_file_of_another_format_is_named(name, other):
    if name[:10] == other[:10]:
        return  # of other years: the columns are the same or nearly
    with pytest.raises(InvalidInput) as caught:
        import_files(name, PUBLISHED[other])
    # The columns of the two LLM traces are the same.
    assert f"--format {other}".replace("2024", "2023") in caught.value.hint
