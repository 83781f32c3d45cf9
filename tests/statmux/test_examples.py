"""Every example of deploy/ runs by the commands that its own comments name, from nothing by `--example`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from statmux.examples import EXAMPLES, Example, calls_of, can_be_served, read_example, write_calls
from tests.statmux.plan_files import Desk, Result, desk

__all__ = ["desk"]

# What needs a device, a fleet, or time: tests/live and the nightly tests of the pages do these.
ELSEWHERE = ("profile", "serve", "capacity")
PLANNED_ONLY = [Example.A100X16, Example.AZURE_TWO_MODELS, Example.LLM_AND_ENCODERS]
COMMAND = re.compile(r"^#   statmux (.+?)(?: {3,}.*)?$", re.M)


def named_commands(example: Example) -> list[list[str]]:
    """The words of every `statmux` command in the comments that open its deployment."""
    text = read_example(EXAMPLES / example / "deployment.yaml").decode()
    return [shlex.split(line) for line in COMMAND.findall(text)]


def shortened(words: list[str]) -> list[str]:
    """Less to search and to replay: what is held is that it runs."""
    words = ["2m" if word == "20m" else word for word in words]
    return [*words, "--time-budget", "0.5s"] if words[0] == "plan" else words


def succeeded(result: Result) -> Result:
    assert result.code == 0, result.err
    return result


@pytest.mark.parametrize("example", PLANNED_ONLY)
def test_the_commands_that_an_example_names_run_in_their_order(
    example: Example, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = desk.folder / "example"
    folder.mkdir()
    monkeypatch.chdir(folder)
    succeeded(desk.statmux("init", "--example", example))
    commands = [words for words in named_commands(example) if words[0] not in ELSEWHERE]
    assert {"plan", "simulate"} <= {words[0] for words in commands}
    for words in commands:
        succeeded(desk.statmux(*shortened(words)))


@pytest.mark.parametrize("example", [one for one in Example if can_be_served(one)])
def test_an_example_that_is_served_says_how_and_how_to_ask_it(example: Example) -> None:
    assert [words[0] for words in named_commands(example)][-1] == "serve"
    lines = calls_of(example, http="host:1", grpc="host:2").splitlines()
    comments = [line.split(":")[0] for line in lines if line.startswith("#")]
    assert comments == ["# curl", "# tritonclient", "# openai"]
    assert "host:1" in lines[1] and "host:2" in lines[3] and "host:1" in lines[5]
    assert "127.0.0.1" not in "".join(lines)


def test_the_calls_of_a_folder_go_where_its_fleet_listens(desk: Desk) -> None:
    Path("tiny").mkdir()
    calls = Path("tiny/calls.sh")
    calls.write_bytes(read_example(EXAMPLES / "tiny" / "calls.sh"))
    for http, grpc in (("127.0.0.1:18000", "127.0.0.1:18001"), ("127.0.0.1:28000", "127.0.0.1:28001")):
        write_calls(Example.TINY, http=http, grpc=grpc)
        assert calls_of(Example.TINY, http=http, grpc=grpc) in calls.read_text()
    calls.write_text("echo mine\n")
    write_calls(Example.TINY, http="127.0.0.1:8000", grpc="127.0.0.1:8001")
    assert calls.read_text() == "echo mine\n"


def test_an_example_is_planned_and_simulated_from_nothing_and_kept(desk: Desk) -> None:
    words = ("simulate", "--example", "azure-two-models", "--report", "report.html", "-o", "json")
    first = succeeded(desk.statmux(*words))
    assert 0.9 < first.document["slo_attainment"] < 1
    assert "wrote azure-two-models/" in first.err
    assert "<html" in Path("report.html").read_text()
    plan = Path("azure-two-models/plan.yaml").read_bytes()
    again = succeeded(desk.statmux(*words))
    assert "going on with azure-two-models/ as it is" in again.err
    assert again.document == first.document
    assert Path("azure-two-models/plan.yaml").read_bytes() == plan


def test_an_example_without_models_is_not_served(desk: Desk) -> None:
    result = desk.statmux("serve", "--example", "a100x16")
    assert result.code == 2
    assert "it has profiles, and no models to load" in result.err
    assert "to be served: tiny, two-models, llm-and-encoders" in result.err
    assert not Path("a100x16").exists()


@pytest.mark.parametrize("verb", ["serve", "simulate"])
def test_an_example_beside_a_deployment_is_refused(verb: str, desk: Desk) -> None:
    result = desk.statmux(verb, "deployment.yaml", "--example", "tiny")
    assert (result.code, "cannot both be" in result.err) == (2, True)


def test_serve_without_a_deployment_says_how_to_try_it(desk: Desk) -> None:
    result = desk.statmux("serve")
    assert (result.code, "statmux serve --example tiny" in result.err) == (2, True)
