"""`statmux profile` without devices: estimated, completed and imported profiles, as a user gets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from statmux.main import run
from vocabulary.formats.disk import load_deployment, load_profile, write_profile
from vocabulary.formats.importers.alpa import GIVEN
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Provenance

NUMBERS = "layers=4,hidden=256,vocab=1000"
ESTIMATE = (
    "profile",
    "--estimate",
    "--model",
    NUMBERS,
    "--device-type",
    "a100-80g",
    "--sequence-length",
    "128",
)
ONE, TWO = ParallelConfig(1, 1), ParallelConfig(1, 2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_estimate_is_a_profile_of_every_configuration_and_its_numbers_carry_a_tilde(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        run([*ESTIMATE, "--tensor", "1,2", "--pipeline", "1,2,4", "--batch-sizes", "1,8", "--out", "p.json"])
        == 0
    )
    profile = load_profile("p.json")
    assert len(profile.entries) == 6 and profile.provenance.kind == "estimated"
    assert profile.sequence_length == 128
    assert all(entry.batch_sizes == (1, 8) for entry in profile.entries.values())
    lines = capsys.readouterr().out.splitlines()
    assert all(line.count("~") == 3 for line in lines[1:7])
    assert lines[-2:] == ["~: estimated", "wrote p.json"]


def test_the_shape_may_come_from_a_folder_as_hugging_face_writes_it(folder: Path) -> None:
    sizes = {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 128}
    (folder / "tiny").mkdir()
    (folder / "tiny" / "config.json").write_text(json.dumps({"model_type": "gpt2"} | sizes))
    for model in ("tiny", "tiny/config.json"):
        asked = ["--model", model, "--device-type", "cpu", "--out", "profiles"]
        assert run(["profile", "--estimate", *asked]) == 0
        profile = load_profile("profiles/tiny.json")
        (folder / "profiles" / "tiny.json").unlink()
        assert (profile.model, profile.sequence_length) == ("tiny", 512)


def test_models_of_a_deployment_are_estimated_where_it_says_and_can_be_planned_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "deployment.yaml").write_text(
        "cluster: {nodes: [{name: n, devices: {type: a100-80g, count: 2, memory: 80GiB}}]}\n"
        "models:\n- {name: chat, source: 'random://gpt2-base', profile: profiles/chat.json, "
        "slo: {latency_ms: 100}, workload: {rate_rps: 5}}\n"
    )
    assert run(["profile", "deployment.yaml", "--estimate", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert all(entry["estimated"] for entry in document["profiles"]["chat"]["entries"])
    deployment = load_deployment("deployment.yaml")
    assert deployment.models[0].profile is not None
    assert set(deployment.models[0].profile.entries) == {ONE, TWO, ParallelConfig(2, 1)}


def test_a_model_that_generates_has_steps_and_a_cache_on_every_configuration() -> None:
    assert run([*ESTIMATE, "--pipeline", "1,2", "--generate", "--out", "p.json"]) == 0
    for config, entry in load_profile("p.json").entries.items():
        assert len(entry.step_times) == len(entry.kv_bytes_per_token) == config.pipeline


def test_a_measured_profile_is_completed_in_place_and_only_what_was_added_has_a_tilde(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*ESTIMATE, "--out", "p.json"]) == 0
    estimated = load_profile("p.json")
    entry = replace(estimated.entries[ONE], stage_latency_s={1: (0.5,)}, is_estimated=False)
    write_profile("p.json", replace(estimated, entries={ONE: entry}, provenance=Provenance("measured")))
    capsys.readouterr()
    complete = ["profile", "--complete", "p.json", "--model", NUMBERS, "--pipeline", "1,2"]
    assert run(complete) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "~" not in lines[1] and lines[2].count("~") == 3
    profile = load_profile("p.json")
    assert profile.entries[ONE] == entry
    assert sum(profile.entries[TWO].stage_latency_s[1]) == pytest.approx(0.5, rel=0.1)
    assert run(complete) == 0
    assert load_profile("p.json") == profile


def test_alpas_profiles_become_a_file_a_model_and_what_is_left_out_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ["bert-1.3b", "1", "1", "1", "1", "1", "1", "0.15", "0.0", "41", "[10]", "[12]", "[0.151]"]
    lines = ["\t".join(cells) for cells in (GIVEN, row, [*row[:3], "2", *row[4:]])]
    (folder / "prof.tsv").write_text("\n".join(lines))
    importing = ["profile", "--import-alpa", "prof.tsv", "--device-type", "v100-16g"]
    assert run(importing) == 2
    assert run([*importing, "--out", "profiles"]) == 0
    printed = capsys.readouterr()
    assert "1 rows left out: data parallel" in printed.err
    assert "wrote profiles/bert-1.3b.json" in printed.out and "~" not in printed.out
    assert load_profile("profiles/bert-1.3b.json").provenance.kind == "imported"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["profile"], 2, "no deployment to profile"),
        ([*ESTIMATE, "--complete", "p.json"], 2, "give one of --correct-from, --estimate, --complete"),
        (["profile", "deployment.yaml", "--model", NUMBERS], 2, "--model: measuring does not heed it"),
        (["profile", "deployment.yaml", "--tensor", "2"], 2, "it describes an estimate: add --estimate"),
        (["profile", "deployment.yaml", "--estimate", "--tensor", "2"], 2, "the deployment says so"),
        ([*ESTIMATE, "--name", "../x"], 2, "write it without slashes"),
        ([*ESTIMATE, "--rounds", "5"], 2, "--rounds: --estimate --model does not heed it"),
        (["profile", "d.yaml", "--import-alpa", "gone.tsv"], 2, "DEPLOYMENT: --import-alpa does not heed it"),
        (["profile", "--complete", "p.json"], 2, "--complete needs the model's shape"),
        (["profile", "--estimate", "--model", NUMBERS], 2, "no device type to estimate for"),
        ([*ESTIMATE, "--tensor", "1,x"], 2, "--tensor: 'x' is not a positive whole number"),
        ([*ESTIMATE, "--pipeline", "8"], 3, "4 layers cannot be cut into 8 stages"),
        (
            [*ESTIMATE[:3], NUMBERS + ",causal=no", *ESTIMATE[4:], "--generate"],
            2,
            "an encoder generates nothing",
        ),
        ([*ESTIMATE, "--dtype", "int4"], 2, "no speed is known for int4 on a100-80g"),
        (["profile", "--estimate", "--model", "gone", "--device-type", "cpu"], 2, "there is no such file"),
        (["profile", "--import-alpa", "gone.tsv", "--device-type", "x", "--out", "p"], 2, "no such file"),
    ],
)
def test_what_cannot_be_profiled_is_told(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == code
    assert message in capsys.readouterr().err
