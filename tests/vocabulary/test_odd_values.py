"""Values that no file means: each is an error in words, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.security.secrets import SecretPlaces
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import deployment_of, load_plan
from vocabulary.security import TokenSpec

HEAD = """\
api_version: v1alpha1
kind: Deployment
metadata: {name: f}
cluster: {nodes: [{name: n, devices: {type: cpu, memory: 1GiB}}]}
"""


def read(models: str, folder: Path, *settings: str) -> None:
    deployment_of(f"{HEAD}models: {models}", name="f.yaml", folder=folder, overrides=settings)


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("[a]", "models[0].weight=2", "should be text, found a list"),
        ("{a: 1}", "models.a.weight=2", "models has no entry a"),
        ("a", f"models[{'9' * 5000}].weight=2", "models has no entry 9"),
    ],
)
def test_an_override_among_odd_names_is_told(tmp_path: Path, name: str, setting: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read(f"[{{name: {name}, engine: emulated, profile: p.json}}]", tmp_path, setting)


def test_a_path_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="file name too long"):
        read(f"[{{name: a, engine: emulated, profile: {'p' * 300}}}]", tmp_path)
    with pytest.raises(InvalidInput, match="cannot be read: embedded null byte"):
        load_plan("a\0b")
    places = SecretPlaces((TokenSpec("t", "t", secret_file="a\0b"),), folder=str(tmp_path), environment={})
    with pytest.raises(InvalidInput, match="token t: cannot read"):
        places.read()
