"""docs/how-to/openai.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.calls import Reason
from controller.http.chat_request import CHAT_UNSUPPORTED, ChatRequest
from controller.http.completion_request import (
    COMPLETION_UNSUPPORTED,
    DEFAULT_MAX_TOKENS,
    MAX_PROMPTS,
    CompletionRequest,
)
from controller.http.embedding_request import EMBEDDING_UNSUPPORTED, MAX_INPUTS, EmbeddingRequest
from controller.http.errors import NOT_TO_RETRY, STATUS
from controller.http.sampling_parameters import MAX_SAMPLES
from controller.http.wishes import LATENCY_HEADERS, TIMEOUT_HEADERS, TPOT_HEADERS, TTFT_HEADERS
from controller.text.calls import MAX_STOP_STRINGS
from vocabulary.sampling import MAX_LOGPROBS

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "openai.md").read_text()
COLUMNS = ("chat", "completions", "embeddings")
KINDS = {
    "chat": (ChatRequest, CHAT_UNSUPPORTED),
    "completions": (CompletionRequest, COMPLETION_UNSUPPORTED),
    "embeddings": (EmbeddingRequest, EMBEDDING_UNSUPPORTED),
}


def rows_under(head: str) -> list[list[str]]:
    """Cells of the table whose first line begins with `head`."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_table_of_parameters_is_what_the_code_takes(column: str) -> None:
    told: dict[str, set[str]] = {"yes": set(), "taken": set(), "no": set(), "": set()}
    for row in rows_under("| parameter |"):
        told[row[1 + COLUMNS.index(column)]].update(names_in(row[0]))
    kind, unsupported = KINDS[column]
    assert told["yes"] | told["taken"] == set(kind.__struct_fields__)
    assert told["no"] == set(unsupported)


def test_the_limits_of_the_page_are_the_codes() -> None:
    notes = {name: row[4] for row in rows_under("| parameter |") for name in names_in(row[0])}
    assert f"{DEFAULT_MAX_TOKENS} if absent" in notes["max_tokens"]
    assert str(MAX_PROMPTS) in notes["prompt"] and str(MAX_INPUTS) in notes["input"]
    assert str(MAX_SAMPLES) in notes["n"] and str(MAX_STOP_STRINGS) in notes["stop"]
    assert str(MAX_LOGPROBS) in notes["logprobs"] and str(MAX_LOGPROBS) in notes["top_logprobs"]


def test_the_table_of_refusals_has_every_reason_with_its_status() -> None:
    rows = rows_under("| status |")
    told = {name: (int(row[0]), row[3]) for row in rows for name in names_in(row[1])}
    for reason in Reason:
        status, again = told[reason.value]
        assert status == STATUS[reason], reason
        assert ("x-should-retry: false" in again) is (reason in NOT_TO_RETRY), reason


def test_the_table_of_headers_is_in_the_order_in_which_they_count() -> None:
    told = [tuple(names_in(row[0])) for row in rows_under("| header |")]
    assert told[:4] == [TTFT_HEADERS, TPOT_HEADERS, LATENCY_HEADERS, TIMEOUT_HEADERS]
