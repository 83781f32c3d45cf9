"""The command line as a user meets it; where a process, its streams or its end are the claim, as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from statmux.main import VERBS
from tests.statmux.in_process import statmux

DEPLOYMENT = (
    "models:\n- {name: a, source: 'random://llama-tiny', slo: {latency_ms: 100}, workload: {rate_rps: 50}}\n"
)
# Importing any of these would make `--help` slow.
HEAVY = ("pydantic", "numpy", "yaml", "rich", "pyarrow", "ray", "jax", "grpc", "numba", "asyncio")


def as_process(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "statmux.main", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "100"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    return tmp_path


def test_help_lists_the_verbs_and_imports_nothing_heavy(folder):
    asked = (
        f"import sys; from statmux.main import run; run(['--help']); print(set({HEAVY}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    *lines, heavy = done.stdout.splitlines()
    assert heavy == "set()"
    listed = lines[lines.index("Verbs:") + 1 :]
    assert [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "] == list(VERBS)
    known = "init validate profile plan simulate capacity trace parallelize reshard serve status bench stop"
    known += " apply models drain explain doctor completion report schema version"
    assert set(VERBS) <= set(known.split())


def test_no_verb_shows_help_and_counts_as_usage(folder):
    done = as_process(folder=folder)
    assert done.returncode == 2
    assert done.stdout.startswith("Usage: statmux")


def test_json_is_one_document_on_stdout_and_warnings_are_on_stderr(folder):
    done = as_process("validate", "deployment.yaml", "-o", "json", folder=folder)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert (document["valid"], document["num_models"], document["num_devices"]) == (True, 1, 1)
    assert done.stderr == "warning: no profile yet, so not planned (`statmux profile`): a\n"


def test_options_may_stand_before_or_after_the_verb(folder):
    before = statmux("-o", "json", "--quiet", "validate", "deployment.yaml", folder=folder)
    after = statmux("validate", "deployment.yaml", "--quiet", "-o", "json", folder=folder)
    assert before.stdout == after.stdout != ""
    assert before.stderr == after.stderr == ""


def test_yaml_output_is_yaml(folder):
    import yaml

    done = statmux("version", "-o", "yaml", folder=folder)
    assert yaml.safe_load(done.stdout)["statmux"]


def test_set_reaches_the_deployment(folder):
    done = statmux("validate", "deployment.yaml", "--set", "metadata.name=x", "-o", "json", folder=folder)
    assert json.loads(done.stdout)["name"] == "x"
    done = statmux("validate", "deployment.yaml", "--set", "models.a.slo.latncy_ms=5", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --set models.a.slo.latncy_ms=5: models[0].slo.latncy_ms: unknown key\n"
        "hint: did you mean `latency_ms`?\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plna",), "error: there is no verb 'plna'; did you mean 'plan'?\nhint: see `statmux --help`\n"),
        (("validate",), "error: missing argument 'deployment'\nhint: see `statmux validate --help`\n"),
        (("trace",), "error: missing command\nhint: see `statmux trace --help`\n"),
        (
            ("schema",),
            "error: missing argument 'kind'. Choose from: deployment, profile, plan, trace\n"
            "hint: see `statmux schema --help`\n",
        ),
        (("validate", "--zz"), "error: no such option: --zz\nhint: see `statmux validate --help`\n"),
        (
            ("version", "-o", "xml"),
            "error: invalid value for '-o' / '--output': 'xml' is not one of 'table', 'json', 'yaml'\n"
            "hint: see `statmux version --help`\n",
        ),
        (
            ("validate", "deploymnt.yaml"),
            "error: deploymnt.yaml: there is no such file\nhint: did you mean deployment.yaml?\n",
        ),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(words, message, folder):
    done = statmux(*words, folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_a_plan_that_does_not_fit_exits_with_3(folder):
    assert statmux("init", "big/deployment.yaml", "--example", "a100x16", folder=folder).returncode == 0
    models = ", ".join(f"large-{index}" for index in range(4))
    plan = f"groups:\n- {{id: g0, devices: ['a100-0:0'], models: [{models}]}}\n"
    (folder / "plan.yaml").write_text(plan)
    done = statmux("validate", "big/deployment.yaml", "--plan", "plan.yaml", folder=folder)
    assert done.returncode == 3
    assert done.stderr == (
        "error: group g0 does not fit: stage 0 needs 100663296000 bytes (93.8 GiB) on device a100-0:0, which "
        "has 77309411328 (72.0 GiB) after 10% in reserve; device memory binds\n"
        "hint: take a model off g0 (the largest is large-0), or raise its tensor or pipeline\n"
    )


def test_strict_turns_warnings_into_an_error(folder):
    done = statmux("validate", "deployment.yaml", "--strict", folder=folder)
    assert done.returncode == 2
    assert "1 warnings, and --strict" in done.stderr


def test_tracebacks_are_for_those_who_ask(folder):
    # A device where a folder should be: the write fails, for a reason that is no bug.
    words = ("trace", "gen", "deployment.yaml", "--out", "/dev/null/t.csv")
    done = as_process(*words, folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: /dev/null/t.csv: cannot be written: ")
    assert "Traceback" not in done.stderr
    assert "Traceback" in as_process(*words, "-v", folder=folder).stderr


def test_colour_is_for_terminals_only(folder):
    assert "\x1b" not in as_process("plna", folder=folder).stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_with_their_code(number, code, folder):
    """The pipe is opened for writing once the process has opened it for reading, so it is at work by then."""
    pipe = folder / "pipe.yaml"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "statmux.main", "validate", str(pipe)], stderr=subprocess.PIPE, text=True
    )
    with pipe.open("w"):
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (code, "")


def test_version_prints_one_line(folder):
    done = statmux("--version", folder=folder)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


@pytest.mark.parametrize("kind", ["deployment", "profile", "plan", "trace"])
def test_schemas_are_printed_as_json(kind, folder):
    assert json.loads(statmux("schema", kind, folder=folder).stdout)["type"] == "object"
