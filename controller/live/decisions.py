"""What was decided of late and why, from the journal: events one by one, refused requests by their reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from controller.journal import SERVED, EventLine, RequestLine
from controller.journal.explanation import event_document
from controller.journal.read import JournalFile
from controller.journal.told_reasons import MEANINGS
from vocabulary.errors import StatmuxError

NUM_EVENTS = 40
# So many of the last requests are looked at: a few milliseconds of reading, for an hour at some a second.
NUM_REQUESTS = 20_000
# More of them are not counted.
MAX_UNSERVED = 1000
# What clients are told of their own mistakes may quote what they sent, which is nobody else's matter.
_QUOTING = (
    "invalid_tensor", "invalid_parameter", "invalid_request", "invalid", "unknown_model", "unknown_version",
    "unsupported", "unauthenticated", "permission_denied",
)  # fmt: skip


@dataclass(slots=True)
class _Refused:
    """Requests of one model that were not served for one reason. words: the last one's."""

    num: int
    last_unix_s: float
    words: str


def decisions_of(journal: JournalFile) -> dict[str, Any]:
    """events: the last first. refused: of the last num_requests, by model and reason, the latest first.

    problem: why the journal says nothing. Reads a file: on a thread.
    """
    try:
        events = journal.events(NUM_EVENTS)
        lines = journal.latest_unserved(MAX_UNSERVED, among=NUM_REQUESTS)
    except StatmuxError as error:
        return _told(problem=error.message)
    return _told([_event(each) for each in events], _refused(lines), _retried(lines))


def _told(
    events: Sequence[Any] = (), refused: Sequence[Any] = (), retried: Sequence[Any] = (), problem: str = ""
) -> dict[str, Any]:
    return {
        "events": list(events),
        "refused": list(refused),
        "retried": list(retried),
        "num_requests": NUM_REQUESTS,
        "problem": problem,
    }


def _event(event: EventLine) -> dict[str, Any]:
    told = event_document(event)
    sentence = told["sentence"].partition("  ")[2]
    return {
        "unix_s": event.unix_s, "kind": event.kind, "group": event.group, "model": event.model,
        "sentence": sentence,
    }  # fmt: skip


def _refused(lines: Iterable[RequestLine]) -> list[dict[str, Any]]:
    """lines: the last first."""
    found: dict[tuple[str, str], _Refused] = {}
    for line in lines:
        if line.fate == SERVED:
            continue
        one = found.get((line.model, line.fate))
        if one is None:
            words = "" if line.fate in _QUOTING else line.words
            found[line.model, line.fate] = _Refused(1, line.unix_s, words)
        else:
            one.num += 1
    return [
        {
            "model": model, "reason": reason, "num": one.num, "last_unix_s": one.last_unix_s,
            "words": one.words, "meaning": MEANINGS.get(reason, ""),
        }
        for (model, reason), one in found.items()
    ]  # fmt: skip


def _retried(lines: Iterable[RequestLine]) -> list[dict[str, Any]]:
    """Requests that were given to more than one group, by model."""
    found: dict[str, _Refused] = {}
    for line in lines:
        if line.num_tries > 1:
            one = found.setdefault(line.model, _Refused(0, line.unix_s, ""))
            one.num += 1
    return [{"model": model, "num": one.num, "last_unix_s": one.last_unix_s} for model, one in found.items()]
