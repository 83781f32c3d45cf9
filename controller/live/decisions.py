"""What was decided of late and why, from the journal: events one by one, refused requests by their reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controller.journal import EventLine
from controller.journal.explanation import event_document
from controller.journal.read import JournalFile, Unserved
from controller.journal.told_reasons import MEANINGS
from vocabulary.errors import StatmuxError

NUM_EVENTS = 40
# So many of the last requests are looked at: a few milliseconds of reading, for an hour at some a second.
NUM_REQUESTS = 20_000
# What clients are told of their own mistakes may quote what they sent, which is nobody else's matter.
_QUOTING = (
    "invalid_tensor", "invalid_parameter", "invalid_request", "invalid", "unknown_model", "unknown_version",
    "unsupported", "unauthenticated", "permission_denied",
)  # fmt: skip


def decisions_of(journal: JournalFile, *, since_unix_s: float) -> dict[str, Any]:
    """events: the last first. refused: of the last num_requests, by model and reason, the latest first.

    since_unix_s: requests that arrived before are left out; a journal is older than the fleet that writes it.
    problem: why the journal says nothing. Reads a file: on a thread.
    """
    try:
        events = journal.events(NUM_EVENTS)
        refused = journal.unserved(among=NUM_REQUESTS, since_unix_s=since_unix_s)
        retried = journal.retried(among=NUM_REQUESTS, since_unix_s=since_unix_s)
    except StatmuxError as error:
        return _told(problem=error.message)
    return _told(
        [_event(each) for each in events],
        [_refused(each) for each in refused],
        [{"model": each.model, "num": each.num, "last_unix_s": each.last_unix_s} for each in retried],
    )


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


def _refused(one: Unserved) -> dict[str, Any]:
    return {
        "model": one.model, "reason": one.fate, "num": one.num, "last_unix_s": one.last_unix_s,
        "words": "" if one.fate in _QUOTING else one.words, "meaning": MEANINGS.get(one.fate, ""),
    }  # fmt: skip
