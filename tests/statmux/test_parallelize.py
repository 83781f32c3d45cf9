"""`statmux parallelize`, as a stranger calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from statmux.main import run

MLP = """\
import jax
import jax.numpy as jnp

def build():
    shapes = {"up": jax.ShapeDtypeStruct((1024, 4096), "float32"),
              "down": jax.ShapeDtypeStruct((4096, 1024), "float32")}
    def apply(parameters, inputs):
        return jax.nn.relu(inputs["x"] @ parameters["up"]) @ parameters["down"]
    return apply, shapes, {"x": ("float32", (-1, 1024))}

def broken():
    apply, shapes, inputs = build()
    return (lambda parameters, inputs: inputs["x"] @ parameters["down"]), shapes, inputs

def strange():
    apply, shapes, inputs = build()
    return (lambda parameters, inputs: jnp.linalg.inv(inputs["x"].T @ inputs["x"])), shapes, inputs
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlp.py").write_text(MLP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def document(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    assert run(["parallelize", *arguments, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_document_has_a_spec_for_every_parameter_and_the_costs(capsys: pytest.CaptureFixture) -> None:
    found = document(capsys, "mlp:build", "--latency", "1us", "--no-scatter", "--whole-ends")
    specs = {one["name"]: one["spec"] for one in found["parameters"]}
    assert specs == {"up": [[], ["tensor"]], "down": [["tensor"], []]}
    assert [(one["kind"], one["axis"]) for one in found["collectives"]] == [("all_reduce", "tensor")]
    costs = found["costs"]
    assert costs["plan"]["total_s"] < costs["replicated"]["total_s"]
    assert costs["plan"]["parameter_bytes"] == costs["replicated"]["parameter_bytes"] / 4
    assert found["estimated"] is True
    assert [one["kind"] for one in found["operators"]] == ["dot_general", "dot_general"]


def test_table_shows_layouts_exchanges_and_costs(capsys: pytest.CaptureFixture) -> None:
    assert run(["parallelize", "mlp:build", "--latency", "1us", "--no-scatter", "--whole-ends"]) == 0
    printed = capsys.readouterr().out
    for words in ("(-, tensor)", "(tensor, -)", "all_reduce", "replicated", "4.0 MiB", "planned in"):
        assert words in printed


def test_a_model_source_is_compared_with_its_layout_by_hand(capsys: pytest.CaptureFixture) -> None:
    found = document(capsys, "random://gpt2-small", "--sequence", "64")
    assert found["costs"].keys() == {"plan", "replicated", "by hand"}
    assert found["costs"]["plan"]["total_s"] <= found["costs"]["by hand"]["total_s"] * (1 + 1e-5)


def test_several_hosts_are_a_second_axis(capsys: pytest.CaptureFixture) -> None:
    found = document(capsys, "mlp:build", "--hosts", "2", "--tensor", "2", "--batch", "65536")
    assert found["mesh"] == [{"axis": "host", "size": 2}, {"axis": "tensor", "size": 2}]
    (rows,) = [one["spec"][0] for one in found["outputs"]]
    assert rows == ["host", "tensor"]


def test_what_nothing_is_known_about_is_named(capsys: pytest.CaptureFixture) -> None:
    assert run(["parallelize", "mlp:strange"]) == 0
    assert "nothing is known about" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["mlp:bild"], 2, "has no function bild"),
        (["nowhere:build"], 2, "there is no module nowhere"),
        (["mlp:broken"], 2, "tracing apply raised TypeError"),
        (["random://gpt3-huge"], 2, "no random model"),
        (["random://gpt2-tiny", "--sequence", "4096"], 2, "above the model's 1024 positions"),
        (["mlp:build", "--device-type", "a100"], 2, "no device type 'a100'"),
        (["mlp:build", "--memory", "1MiB"], 3, "no plan fits 1.0 MiB a device: the best takes at least"),
        (["mlp:build", "--memory", "little"], 2, "little"),
        (["mlp:build", "--bandwidth", "0GB/s"], 2, "not above 0"),
        (["mlp:build", "--tensor", "1"], 2, "tensor"),
        (["mlp"], 2, "write MODULE:FUNCTION, like mlp:build"),
        (["m" * 300], 2, "neither a function, a folder nor an address"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(
    capsys: pytest.CaptureFixture, arguments: list[str], code: int, words: str
) -> None:
    assert run(["parallelize", *arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
