"""What is printed where: tables, one clean document, progress that ends with a line."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import numpy as np

from statmux.options import Choices, OutputFormat
from statmux.progress import Progress
from statmux.render import Console, marked, milliseconds, percent, table


def test_columns_are_aligned():
    rows = [("embed", 12, 0.5), ("a", 3, None)]
    assert table(("model", "requests", "cv"), rows).split("\n") == [
        "model  requests     cv",
        "embed        12  0.500",
        "a             3      -",
    ]


def test_shares_and_times_are_for_people():
    assert (percent(0.98765), milliseconds(0.0123)) == ("98.77%", "12.3 ms")
    assert (percent(None), milliseconds(None)) == (None, None)


def test_estimates_carry_a_tilde_and_what_is_not_there_carries_none():
    assert marked("98.77%", is_estimated=True) == "~98.77%"
    assert marked("98.77%", is_estimated=False) == "98.77%"
    assert marked(None, is_estimated=True) is None


def test_a_document_holds_only_what_json_has(capsys):
    document = {"p99_s": float("nan"), "rate": np.float64(0.5), "counts": np.array([1, 2]), "t": (True, None)}
    Console(Choices(OutputFormat.JSON)).result(document, lambda: "")
    printed = json.loads(capsys.readouterr().out)
    expected = {"schema_version": 1, "p99_s": None, "rate": 0.5, "counts": [1, 2], "t": [True, None]}
    assert printed == expected
    assert next(iter(printed)) == "schema_version"


def test_quiet_leaves_results_and_errors(capsys):
    console = Console(Choices(is_quiet=True))
    console.say("said")
    console.warn("warned")
    console.hint("hinted")
    with console.progress("working") as progress:
        progress.step()
    console.error("wrong", hint="do this")
    console.result({}, lambda: "result")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "error: wrong\nhint: do this\n")


def test_progress_says_what_how_far_and_how_long():
    stream = io.StringIO()
    with Progress("searching", total=8, stream=stream, is_shown=True) as progress:
        progress.step(3, note="best 0.98")
        assert progress.text() == "searching 3/8 (0 s, best 0.98)"
    assert stream.getvalue() == "searching: done in 0.0 s\n"


def test_progress_that_fails_after_a_while_says_so_and_what_fails_at_once_leaves_that_to_its_error():
    def told(seconds: float) -> str:
        stream = io.StringIO()
        with (
            suppress(ValueError),
            Progress("searching", total=None, stream=stream, is_shown=True) as progress,
        ):
            progress._started_s -= seconds
            raise ValueError
        return stream.getvalue()

    assert (told(2.0), told(0.0)) == ("searching: stopped after 2.0 s\n", "")
