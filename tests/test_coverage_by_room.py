from __future__ import annotations

from tests.coverage_by_room import by_room


def summary(lines: int, reached: int, branches: int, taken: int) -> dict[str, dict[str, int]]:
    counts = dict(num_statements=lines, covered_lines=reached, num_branches=branches, covered_branches=taken)
    return {"summary": counts | {"percent_covered": 1}}


def test_rooms_are_summed_in_the_order_of_the_floors_with_all_below():
    found = by_room(
        {
            "placement/search.py": summary(10, 5, 4, 1),
            "vocabulary/a.py": summary(10, 10, 0, 0),
            "vocabulary/formats/b.py": summary(30, 20, 2, 2),
            "tests/x.py": summary(99, 9, 9, 9),
        }
    )
    assert found.rows == (
        ("vocabulary", "40", "75.0%", "2", "100.0%"),
        ("placement", "10", "50.0%", "4", "25.0%"),
        ("all", "50", "70.0%", "6", "50.0%"),
    )
