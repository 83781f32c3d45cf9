from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import run
from benchmarks.catalogue import BENCHMARKS, Benchmark
from benchmarks.compare import compare, main, report
from benchmarks.results import KEPT, ROOT, Provenance, Result, provenance, read, write
from benchmarks.tables import Table, table

HERE = Provenance("abc", "2026-11-22T00:00:00+00:00", "some processor", 2, 0.5, {"python": "3.11"})


def result(*runs: dict[str, str], name: str = "work", title: str = "") -> Result:
    """Of each run: row -> milliseconds."""
    tables = tuple((table(("what", "time"), list(run.items()), title=title),) for run in runs)
    return Result(name, "python -m benchmarks.work", HERE, (1.0,) * len(runs), tables)


def test_only_what_is_beyond_the_noise_is_outside():
    found = compare(result({"a": "10 ms", "b": "10 ms"}), result({"a": "11 ms", "b": "15 ms"}), noise=1.2)
    assert [(cell.row, round(cell.ratio, 2), cell.is_outside) for cell in found.cells] == [
        ("a", 1.1, False),
        ("b", 1.5, True),
    ]


def test_faster_is_outside_too():
    (cell,) = compare(result({"a": "10 ms"}), result({"a": "0.005 s"}), noise=1.25).cells
    assert cell.ratio == pytest.approx(0.5) and cell.is_outside


def test_runs_that_differed_among_themselves_widen_the_band():
    kept = result({"a": "10 ms"}, {"a": "16 ms"}, {"a": "12 ms"})
    (cell,) = compare(kept, result({"a": "18 ms"}), noise=1.1).cells
    assert (cell.kept, cell.band) == ("12 ms", pytest.approx(1.6))
    assert cell.ratio == pytest.approx(1.5) and not cell.is_outside


def test_rows_that_only_one_of_them_has_are_counted():
    found = compare(result({"a": "1 ms", "old": "1 ms"}), result({"a": "1 ms", "new": "1 ms"}), noise=1.2)
    assert len(found.cells) == 1 and found.num_only_one == 2
    assert "2 rows are in one of the two only" in report([found], shows_all=False)


def test_words_and_noughts_are_not_compared():
    kept = result({"a": "met", "b": "0", "c": "1 to 2"})
    assert compare(kept, kept, noise=1.2).cells == ()


def test_rows_of_the_same_name_are_told_apart_by_their_tables():
    first, second = (
        table(("what", "ms"), [("a", value)], title=title) for value, title in ((1, "x"), (2, "y"))
    )
    one = Result("work", "", HERE, (1.0,), ((first, second),))
    assert [(cell.row, cell.kept) for cell in compare(one, one, noise=1.2).cells] == [
        ("x, a", "1"),
        ("y, a", "2"),
    ]


def test_a_report_shows_what_is_outside_and_counts_the_rest():
    found = compare(result({"a": "10 ms", "b": "10 ms"}), result({"a": "10 ms", "b": "20 ms"}), noise=1.2)
    shown = report([found], shows_all=False)
    assert "| work | b | time | 10 ms | 20 ms | 2.00 | 20% | outside |" in shown
    assert "| work | a |" not in shown and "| work | a |" in report([found], shows_all=True)
    assert shown.endswith("2 numbers compared, 1 outside the noise")


def test_a_result_is_read_as_it_was_written(tmp_path: Path):
    one = result({"a": "1 ms"}, {"a": "2 ms"})
    assert read(write(one, tmp_path)) == one
    assert write(one, tmp_path).name == "work.json"


def test_a_result_says_on_what_it_was_measured():
    here = provenance()
    assert here.num_cpus >= 1 and here.processor and here.load_average >= 0
    assert {"python", "numpy", "jax"} <= here.versions.keys()


def test_the_command_compares_two_folders_and_never_fails(tmp_path: Path, capsys):
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    write(result({"a": "10 ms"}), kept)
    write(result({"a": "90 ms"}), fresh)
    write(result({"a": "90 ms"}, name="other"), fresh)
    assert main(["--fresh", str(fresh), "--kept", str(kept)]) == 0
    said = capsys.readouterr()
    assert "| 9.00 |" in said.out and "other: nothing to compare" in said.err


def printed(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_benchmark_is_run_as_often_as_asked_and_its_tables_kept(capfd):
    program = printed("print('| what | ms |\\n|---|---|\\n| a | 1 |')")
    found = run(Benchmark("any"), program, num_runs=2)
    assert found is not None and found.runs == ((Table("", ("what", "ms"), (("a", "1"),)),),) * 2
    assert len(found.seconds) == 2 and found.command == "python -m benchmarks.any"
    assert capfd.readouterr().out.count("| a | 1 |") == 2


def test_a_benchmark_that_prints_no_table_gives_nothing():
    assert run(Benchmark("any"), printed("print('fast')"), num_runs=1) is None
    assert run(Benchmark("any"), printed("raise SystemExit(3)"), num_runs=1) is None


def test_a_missed_bar_is_said_and_no_failure(capsys):
    program = printed("print('| what | ms |\\n|---|---|\\n| a | 1 |'); raise SystemExit(1)")
    assert run(Benchmark("any"), program, num_runs=1) is not None
    assert "any ended with 1: a bar was missed" in capsys.readouterr().err


def test_all_of_the_catalogue_are_there_and_those_kept_are_of_it():
    names = {one.name for one in BENCHMARKS}
    assert all((ROOT / "benchmarks" / f"{name}.py").exists() for name in names)
    assert {path.stem for path in KEPT.glob("*.json")} <= names
    for path in KEPT.glob("*.json"):
        assert read(path).name == path.stem
