from __future__ import annotations

import pytest

from benchmarks.tables import Table, markdown, number_in, table, tables_in

TWO = """a benchmark of things:

| way | chunks | ms |
|---|---:|:---:|
| one | 1 | 1.5 |
| one | 2 | 2.5 |

3 medians

| way | GB/s |
|---|---|
| tcp | 2.1 |
| broken |
"""


def test_all_tables_of_a_text_are_found_with_the_line_above_each():
    first, second = tables_in(TWO)
    assert first == Table(
        "a benchmark of things", ("way", "chunks", "ms"), (("one", "1", "1.5"), ("one", "2", "2.5"))
    )
    assert second == Table("3 medians", ("way", "GB/s"), (("tcp", "2.1"),))


def test_a_table_is_read_as_it_was_written():
    one = table(("name", "us"), [("a", 1.25), ("b", "2")], title="cost")
    assert tables_in(markdown(one)) == (one,)
    assert one.rows == (("a", "1.25"), ("b", "2"))


def test_as_many_first_columns_name_a_row_as_tell_them_apart():
    assert tables_in(TWO)[0].num_keys == 2
    assert tables_in(TWO)[1].num_keys == 1
    same = table(("a", "b"), [(1, 2), (1, 2)])
    assert same.num_keys == 2


def test_text_without_a_table_has_none():
    assert tables_in("no | table\n|---|---|\nhere") == ()


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.5", 1.5),
        ("12,345/s", 12345.0),
        ("3.1 M/s", 3.1e6),
        ("3.59 M requests/s", 3.59e6),
        ("9.6 M", 9.6e6),
        ("40 us", 40e-6),
        ("99.5%", 99.5),
        ("+0.17", 0.17),
        ("2 GiB", 2.0 * 2**30),
        ("1 to 2", None),
        ("met", None),
        ("", None),
        ("2026-11-22", None),
    ],
)
def test_a_cell_is_a_number_in_the_base_of_its_unit(cell: str, number: float | None):
    assert number_in(cell) == (number if number is None else pytest.approx(number))
