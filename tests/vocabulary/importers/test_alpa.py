"""Alpa's profiles: both kinds of rows, older units, and every mistake with its line and column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.alpa import GIVEN, SEARCHED, read_alpa
from vocabulary.formats.profile import format_profile, parse_profile
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile

TWO = ParallelConfig(1, 2)
HEADER = "\t".join(GIVEN)


def given_row(**cells: object) -> str:
    """As `benchmark_one_case_gpt_bert_inference.py` writes one."""
    values = dict(
        zip(
            GIVEN,
            ("bert-1.3b", 1, 1, 1, 1, 2, 2, "0.152", "0.001", "41.00", "[1300, 1500]", "[1400, 1700]",
             "[0.0744, 0.077]"),
            strict=True,
        )
    )  # fmt: skip
    return "\t".join(str(cells.get(name, value)) for name, value in values.items())


def searched_row(meshes: str, latencies: str, *, size: int = 1) -> str:
    metadata = f"{{'compilation_times': None, 'submesh_shapes': {meshes}, 'logical_mesh_shapes': None}}"
    stages = latencies.count(",") + 1
    weights, peaks = [1000] * stages, [1500] * stages
    cells = (
        "gpt",
        size,
        1,
        "SearchParallelArgs(...)",
        "0.1",
        "0.0",
        "1",
        weights,
        peaks,
        latencies,
        metadata,
        "now",
    )
    assert len(cells) == len(SEARCHED)
    return "\t".join(map(str, cells))


def read(*lines: str, name: str = "prof.tsv") -> tuple[Profile, ...]:
    return read_alpa(
        "\n".join(lines) + "\n", name=name, device_type="v100-16g", sequence_length=2048
    ).profiles


def test_given_configurations_become_one_profile_a_model() -> None:
    bert, moe = read(
        HEADER,
        given_row(),
        given_row(**{"BS": 4, "StageLatencies(s)": "[0.28 0.29]"}),
        given_row(ModelName="alpa/moe", PP=1, **{"StageLatencies(s)": "[0.15]", "StageWeights(B)": "[2600]",
                                                 "StagePeakMem(B)": "[2601.0]"}),
    )  # fmt: skip
    entry = bert.entries[TWO]
    assert entry.stage_latency_s == {1: (0.0744, 0.077), 4: (0.28, 0.29)}
    assert (entry.weight_bytes, entry.activation_bytes[1]) == ((1300, 1500), (100, 200))
    assert (bert.device_type, bert.sequence_length, bert.provenance.kind) == ("v100-16g", 2048, "imported")
    assert (moe.model, set(moe.entries)) == ("alpa-moe", {ParallelConfig(1, 1)})
    assert parse_profile(format_profile(bert), name="bert.json") == bert


def test_a_file_without_a_line_of_names_is_known_by_its_number_of_columns() -> None:
    assert read(given_row()) == read(HEADER, given_row())
    (gpt,) = read(searched_row("[(1, 4), (1, 4)]", "[0.03, 0.04]"))
    assert set(gpt.entries) == {ParallelConfig(4, 2)}


def test_older_files_have_sizes_in_gigabytes() -> None:
    header = HEADER.replace("(B)", "(GB)")
    (bert,) = read(header, given_row(**{"StageWeights(B)": "[1.0 2.0]", "StagePeakMem(B)": "[1.5 2.0]"}))
    assert bert.entries[TWO].weight_bytes == (2**30, 2**31)
    assert bert.entries[TWO].activation_bytes[1] == (2**29, 0)


def test_of_repeated_rows_the_quickest_slowest_stage_counts_and_names_may_stand_again() -> None:
    slow = given_row(**{"StageLatencies(s)": "[0.05, 0.11]", "StageWeights(B)": "[9000, 100]",
                        "StagePeakMem(B)": "[9000, 100]"})  # fmt: skip
    (bert,) = read(HEADER, slow, HEADER, given_row(), slow)
    assert bert.entries[TWO].stage_latency_s == {1: (0.0744, 0.077)}
    assert bert.entries[TWO].weight_bytes == (1300, 1500)


def test_rows_that_say_nothing_about_one_replica_are_left_out_and_counted() -> None:
    found = read_alpa(
        "\n".join([
            HEADER, given_row(), given_row(DP=2), given_row(DP=2), given_row(**{"#Microbatch": 4}),
            given_row(OP=2, BS=8),
        ]),
        name="prof.tsv", device_type="v100-16g",
    )  # fmt: skip
    assert set(found.profiles[0].entries) == {TWO}
    assert found.left_out == {"data parallel": 2, "several micro-batches": 1, "no row for batch size 1": 1}


def test_searched_stages_of_different_sizes_are_left_out_and_if_nothing_stays_that_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="no row can be used") as raised:
        read(searched_row("[(1, 4), (1, 2)]", "[0.03, 0.04]"))
    assert raised.value.hint == "1 left out: stages of different numbers of devices"


@pytest.mark.parametrize(
    ("cells", "where", "message"),
    [
        ({"BS": "one"}, "BS", "'one' is not a positive whole number"),
        ({"BS": "0"}, "BS", "'0' is not a positive whole number"),
        ({"OP": ""}, "OP", "is empty"),
        ({"ModelName": ".."}, "ModelName", "'..' is no name for a model"),
        ({"PP": 3}, "StageLatencies\\(s\\)", "has 2 numbers for 3 stages"),
        ({"StageLatencies(s)": "[0.1, nan]"}, "StageLatencies\\(s\\)", "'nan' is not a number of at least 0"),
        ({"StageLatencies(s)": "[0.1, -1]"}, "StageLatencies\\(s\\)", "'-1' is not a number"),
        ({"StageLatencies(s)": "[0.1, 1e999]"}, "StageLatencies\\(s\\)", "'1e999' is not a number"),
        ({"StageLatencies(s)": "[0, 0]"}, "StageLatencies\\(s\\)", "no stage takes any time"),
        ({"StageLatencies(s)": "[]"}, "StageLatencies\\(s\\)", "has 0 numbers"),
        ({"StageWeights(B)": "[__import__('os'), 1]"}, "StageWeights\\(B\\)", "is not a number"),
        ({"StagePeakMem(B)": "[1, 1]"}, "StagePeakMem", "is below the weights"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_told_with_its_line_and_column(cells: dict, where: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as raised:
        read(HEADER, given_row(), given_row(**cells))
    assert raised.value.where.startswith("prof.tsv:3, column ")
    assert raised.value.where.endswith(where.replace("\\", ""))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "0 rows"),
        (("ModelName\tBS",), "no column StageLatencies"),
        ((HEADER.replace("StageWeights(B)", "Weights"),), "no column StageWeights"),
        ((HEADER.replace("OP", "MP"), given_row()), "neither OP and PP nor Metadata"),
        (("bert,1,1,1,1,2",), "1 columns and no line of names"),
        ((HEADER, "bert\t1"), "2 columns where 13 are named"),
        ((searched_row("None", "[0.1]"),), "has no submesh_shapes"),
    ],
)
def test_what_is_no_file_of_alpa_is_told(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(*lines)


def test_a_long_cell_of_metadata_takes_no_time_to_refuse() -> None:
    meshes = "[" + "(1, 2)   " * 20_000
    with pytest.raises(InvalidInput, match="has no submesh_shapes"):
        read(searched_row(meshes, "[0.1]"))


@given(st.text(max_size=200), st.sampled_from([*GIVEN]))
def test_no_text_in_a_cell_does_more_than_raise_invalid_input(text: str, column: str) -> None:
    cell = "".join(
        character for character in text if character not in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    )
    try:
        (profile,) = read(HEADER, given_row(**{column: cell}))
    except InvalidInput:
        return
    assert all(sum(entry.stage_latency_s[1]) > 0 for entry in profile.entries.values())
