"""Names and sources lead nowhere else: no `..`, no links out, no schemes that are not known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from controller.text.codec import open_codec
from controller.text.model_text import open_text
from statmux.fleets import control_socket
from tests.live.fleet_files import write_chat
from vocabulary.deployment import ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment
from workers.sources import directory_of, read_json
from workers.weights import open_source

NAMES = ("../up", "a/b", "/etc/passwd", "..", ".", "a\\b", "a\nb", "a\0b", "", " a")
FILES = ("model.safetensors", "config.json", "tokenizer.json")


def parse(text: str) -> None:
    parse_deployment(text, name="d.yaml", read_profile=lambda path: None, needs_profiles=False)


def quoted(name: str) -> str:
    return json.dumps(name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "model"
    write_chat(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_is_a_path(name: str) -> None:
    source, given = "source: 'random://gpt2-tiny'", quoted(name)
    token = f"{{name: {given}, secret_env: A}}"
    for text in (
        f"models: [{{name: {given}, {source}}}]",
        f"models: [{{name: a, aliases: [{given}], {source}}}]",
        f"metadata: {{name: {given}}}\nmodels: [{{name: a, {source}}}]",
        f"models: [{{name: a, {source}}}]\nsecurity: {{auth: {{tokens: [{token}]}}}}",
    ):
        with pytest.raises(InvalidInput):
            parse(text)


@pytest.mark.parametrize("fleet", ["../other", "a/b", "..", "."])
def test_no_fleet_of_a_verb_is_a_path(fleet: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of a fleet"):
        control_socket(fleet)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hf://../../etc", "unknown scheme 'hf'"),
        ("hf://org/model/../../x", "unknown scheme 'hf'"),
        ("s3://bucket/key", "unknown scheme 's3'"),
        ("http://host/x", "unknown scheme 'http'"),
        ("file://elsewhere/etc", "is a host"),
        ("package://json/../../etc", "leads out of package json"),
        ("package://os.path/x", "no package"),
        ("package://../x", "no package"),
    ],
)
def test_no_source_leads_out_of_what_it_names(source: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        directory_of(source, base_dir=Path())


@pytest.mark.parametrize("name", FILES)
def test_link_out_of_a_checkpoint_is_not_followed(checkpoint: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "linked"
    shutil.copytree(checkpoint, folder)
    (tmp_path / "secret").write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInput, match=r"is a link that leads out of its folder"):
        open_codec(folder)
        open_source(str(folder), base_dir=Path())
    (folder / name).unlink()
    (folder / "real").write_bytes((tmp_path / "secret").read_bytes())
    (folder / name).symlink_to(folder / "real")
    assert open_codec(folder) is not None and open_source(str(folder), base_dir=Path()).shapes


def test_links_of_the_hubs_cache_are_followed(checkpoint: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (snapshot / "1_Pooling").mkdir()
    (blobs / "deeper").write_text("{}")
    (snapshot / "1_Pooling" / "config.json").symlink_to(Path("../../../blobs/deeper"))
    assert read_json(snapshot / "1_Pooling" / "config.json") == {}
    for path in checkpoint.iterdir():
        if path.is_file():
            shutil.copy(path, blobs / path.name)
            (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert open_source(str(snapshot), base_dir=Path()).shapes
    assert open_text(ModelSpec("a", source=str(snapshot)), folder=Path()).codec is not None


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "sub/x.safetensors", "..", 7, None])
def test_no_shard_of_an_index_is_a_path(checkpoint: Path, tmp_path: Path, shard: object) -> None:
    shutil.copy(checkpoint / "config.json", tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(InvalidInput, match="is not a file beside the index"):
        open_source(str(tmp_path), base_dir=Path())


def test_pickled_weights_are_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copy(checkpoint / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidInput, match="only pickled weights"):
        open_source(str(tmp_path), base_dir=Path())
