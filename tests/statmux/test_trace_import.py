"""`statmux trace import`, as a stranger would use it: published formats, bad rows, wrong words."""

from __future__ import annotations

import json

import pytest

from tests.statmux.in_process import statmux
from tests.vocabulary.importers.files import AZURE_2023, PUBLISHED
from vocabulary.formats import disk

FILES = {
    "azure-llm-2023": ("code.csv", ("--model", "code")),
    "azure-llm-2024": ("code.csv", ("--model", "code")),
    "azure-functions-2019": ("d01.csv", ()),
    "azure-functions-2021": ("t.txt", ()),
    "mooncake": ("t.jsonl", ("--map", "stripe", "--models", "a,b")),
    "burstgpt": ("t.csv", ()),
    "servegen": ("data/language/m-large", ()),
    "lmsys-chat-1m": ("t.jsonl", ("--rate", "10")),
    "alpaserve": ("azure_v1.pkl", ()),
}
NUM_REQUESTS = {"azure-llm-2024": 2, "azure-functions-2021": 4, "servegen": 9}


@pytest.fixture
def folder(tmp_path):
    for format_, files in PUBLISHED.items():
        for file in files:
            path = tmp_path / format_ / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.raw)
    return tmp_path


@pytest.mark.parametrize("format_", FILES)
def test_every_format_becomes_a_trace_of_ours(folder, format_):
    name, words = FILES[format_]
    words = ("--format", format_, *words, "--out", "t.parquet", "-o", "json")
    done = statmux("trace", "import", f"{format_}/{name}", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    trace = disk.load_trace(folder / "t.parquet")
    assert document["num_requests"] == len(trace)
    assert document["skipped"] == 0
    is_drawn = format_ in ("azure-functions-2019", "servegen", "lmsys-chat-1m", "alpaserve")
    assert document["is_drawn"] == is_drawn
    assert ("arrivals are drawn (--seed 0)" in done.stderr) == is_drawn
    assert document["is_estimated"] == (format_ == "lmsys-chat-1m")
    if format_ not in ("azure-functions-2019", "alpaserve"):  # random in number
        assert len(trace) == NUM_REQUESTS.get(format_, 3)
    assert (trace.tokens is None) == ("functions" in format_ or format_ == "alpaserve")


def test_the_words_for_formats_are_those_there_are():
    from statmux.verbs.trace_import_options import TraceFormat
    from vocabulary.formats.importers.formats import FORMATS

    assert set(TraceFormat) == set(FORMATS) | {"csv", "jsonl", "parquet"}


def test_functions_are_mapped_by_a_file(folder):
    (folder / "map.csv").write_text("function,model\napp1/f1,llama\napp2/f1,bert\nf2,llama\n")
    words = ("--format", "azure-functions-2021", "--map", "map.csv", "--out", "t.csv")
    done = statmux("trace", "import", "azure-functions-2021/t.txt", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "t.csv").read_text() == "timestamp_s,model\n0.5,llama\n1.5,llama\n2,bert\n10,llama\n"
    done = statmux("trace", "import", "azure-functions-2021/t.txt", *words, "--models", "bert", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --map: unknown model 'llama'\n")


def test_a_part_of_the_time_is_taken_before_functions_are_dealt(folder):
    words = ("--format", "azure-functions-2021", "--map", "round_robin", "--models", "a,b")
    part = ("--start", "1s", "--duration", "1500ms", "--from-zero", "--out", "t.csv")
    done = statmux("trace", "import", "azure-functions-2021/t.txt", *words, *part, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "t.csv").read_text() == "timestamp_s,model\n0,a\n0.5,b\n"


def test_bad_rows_are_refused_with_their_line_or_skipped_and_counted(folder):
    (folder / "t.csv").write_bytes(AZURE_2023 + b"oh,1,1\n2023-11-16 18:15:59,-2,1\n")
    words = ("--format", "azure-llm-2023", "--model", "m", "--out", "t.jsonl", "-o", "json")
    done = statmux("trace", "import", "t.csv", *words, folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "error: t.csv:5: TIMESTAMP is 'oh', not a date and time\nhint: write it like 2023-11-16 18:15:46.68\n"
    )
    done = statmux("trace", "import", "t.csv", *words, "--skip-bad", folder=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["skipped"] == 2
    assert done.stderr == (
        "warning: skipped 2 bad rows; the first: t.csv:5: TIMESTAMP is 'oh', not a date and time\n"
    )


def test_bad_rows_of_plain_files_are_skipped_too(folder):
    (folder / "t.csv").write_text("t,m\n3,a\n1,b\nx,a\n2,c\n")
    words = ("--columns", "timestamp_s=t,model=m", "--models", "b,a", "--skip-bad", "--out", "u.csv")
    done = statmux("trace", "import", "t.csv", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "u.csv").read_text() == "timestamp_s,model\n1,b\n3,a\n"
    assert done.stderr.startswith("warning: skipped 2 bad rows; the first: t.csv:4: t is 'x'")


def test_prefix_hashes_of_a_plain_file_come_along(folder):
    row = {"t": 0, "input_tokens": 600, "output_tokens": 2, "hash_ids": [5, 6]}
    (folder / "t.jsonl").write_text(json.dumps(row))
    words = ("--columns", "timestamp_s=t,prefix_hashes=hash_ids", "--model", "m")
    done = statmux("trace", "import", "t.jsonl", *words, "--out", "u.parquet", folder=folder)
    assert done.returncode == 0, done.stderr
    assert disk.load_trace(folder / "u.parquet").tokens.prefix_hashes.tolist() == [5]
    done = statmux("trace", "import", "t.jsonl", *words, "--out", "u.csv", folder=folder)
    assert done.stderr == "warning: CSV holds no lists; left out: prefix_hashes\n"


WRONG = {
    "a format that is none": (
        "burstgpt/t.csv --format bustgpt", "invalid value for '--format': 'bustgpt' is not one of",
    ),
    "another format": (
        "burstgpt/t.csv --format mooncake",
        "burstgpt/t.csv: no line is a JSON object\nhint: write one JSON object a line; "
        "these are the columns of --format burstgpt",
    ),
    "no format": (
        "burstgpt/t.csv",
        "burstgpt/t.csv:1: there is no column timestamp_s\nhint: these are the columns of "
        "`statmux trace import --format burstgpt`",
    ),
    "no model": (
        "mooncake/t.jsonl --format mooncake",
        "mooncake: the file names no model\nhint: --model NAME, or --map round_robin --models a,b,c, "
        "which deals its requests out",
    ),
    "no models": (
        "burstgpt/t.csv --format burstgpt --map stripe", "--map and --models need each other\n",
    ),
    "a model twice": (
        "burstgpt/t.csv --format burstgpt --map stripe --models a,b,a",
        "--models: 'a' is named twice\nhint: name each model once",
    ),
    "a map that is none": (
        "burstgpt/t.csv --format burstgpt --map strip --models a", "--map: 'strip' is no way to map\n",
    ),
    "a model and a map": (
        "burstgpt/t.csv --format burstgpt --map stripe --models a --model b",
        "--model and --map exclude each other\n",
    ),
    "an unknown model": (
        "burstgpt/t.csv --format burstgpt --models ChatGPT,GPT-5",
        "--models: unknown model 'GPT-4'\nhint: did you mean `GPT-5`? (of --models)",
    ),
    "columns of a format": (
        "burstgpt/t.csv --format burstgpt --columns timestamp_s=Timestamp",
        "--columns: the columns and units of burstgpt are known\n",
    ),
    "a unit of a format": (
        "burstgpt/t.csv --format burstgpt --unit ms", "--unit: the columns and units of burstgpt are known\n",
    ),
    "a rate for arrivals that there are": (
        "burstgpt/t.csv --format burstgpt --rate 3", "--rate: burstgpt has its rates\n",
    ),
    "no rate": (
        "lmsys-chat-1m/t.jsonl --format lmsys-chat-1m",
        "--rate: the file has no arrival times\nhint: --rate 10 draws them at 10 requests a second",
    ),
    "a rate of 0": (
        "lmsys-chat-1m/t.jsonl --format lmsys-chat-1m --rate 0", "--rate: 0.0 is no rate\n",
    ),
    "a CV for bursts that there are": (
        "burstgpt/t.csv --format burstgpt --cv 3", "--cv: burstgpt has its burstiness\n",
    ),
    "a time with nothing in it": (
        "burstgpt/t.csv --format burstgpt --start 1h", "burstgpt: the trace would hold no requests\n",
    ),
    "two files": (
        "burstgpt/t.csv burstgpt/t.csv --format burstgpt", "burstgpt/t.csv: burstgpt is one file, not 2\n",
    ),
    "an empty folder": ("mooncake --format servegen", "mooncake: there is no file of that format\n"),
    "a folder": ("burstgpt --format burstgpt", "burstgpt: this is a folder\n"),
    "no file": ("nothing.csv --format burstgpt", "nothing.csv: there is no such file\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_words_are_explained(folder, what):
    words, message = WRONG[what]
    done = statmux("trace", "import", *words.split(), "--out", "out.csv", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert "\nhint: " in done.stderr
    assert not done.stdout
    assert not (folder / "out.csv").exists()


def test_the_file_that_is_read_is_never_written_over(folder):
    before = (folder / "burstgpt" / "t.csv").read_bytes()
    words = ("burstgpt/t.csv", "--format", "burstgpt", "--out", "burstgpt/../burstgpt/t.csv")
    done = statmux("trace", "import", *words, folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --out: this is the file to read\nhint: ")
    assert (folder / "burstgpt" / "t.csv").read_bytes() == before
