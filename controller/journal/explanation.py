"""What a journal says of one request, or of what was decided lately: documents for people and programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from controller.journal.explaining import (
    AROUND_S,
    REPLICA_KINDS,
    Context,
    clock_time,
    event_sentence,
    explained,
)
from controller.journal.lines import EventLine, RequestLine
from controller.journal.read import JournalFile
from vocabulary.errors import InvalidInput

# Of the `id` of answers over OpenAI's API: what follows is the id of the request.
ID_PREFIXES = ("chatcmpl-", "cmpl-")
_MAX_AROUND = 12
_MAX_REPLICA_EVENTS = 5000
DEFAULT_LAST = 20


def explanation(journal: JournalFile, request_id: str) -> dict[str, Any]:
    """request, sentences, plan and around, JSON-able. Raises InvalidInput for a request that is not there."""
    line = next((line for name in _names(request_id) if (line := journal.request(name)) is not None), None)
    if line is None:
        hint = "`observability.journal` says which requests are kept (requests: all) and how many (max_rows)"
        raise InvalidInput(f"the journal has no request {request_id!r}{_span(journal)}", hint=hint)
    context = _context(line, journal)
    return {
        "request": msgspec.structs.asdict(line),
        "sentences": list(explained(line, context)),
        "plan": None if context.plan is None else event_document(context.plan),
        "around": [event_document(each) for each in context.around],
    }


def decisions(journal: JournalFile, last: int) -> list[dict[str, Any]]:
    """The last so many events, in order of time."""
    return [event_document(each) for each in reversed(journal.events(last))]


def event_document(event: EventLine) -> dict[str, Any]:
    """Its columns, and all of it in a sentence."""
    return {**asdict(event), "sentence": event_sentence(event)}


def _names(request_id: str) -> tuple[str, ...]:
    """As it is, and as the client sent it where an endpoint of OpenAI's has made an `id` of that."""
    bare = [request_id.removeprefix(prefix) for prefix in ID_PREFIXES if request_id.startswith(prefix)]
    return (request_id, *filter(None, bare))


def _context(line: RequestLine, journal: JournalFile) -> Context:
    replicas = journal.events(_MAX_REPLICA_EVENTS, kinds=REPLICA_KINDS, to_unix_s=line.unix_s)
    plans = journal.events(1, kinds=("plan",), to_unix_s=line.unix_s)
    around = journal.events(
        _MAX_AROUND,
        from_unix_s=line.unix_s - AROUND_S,
        to_unix_s=line.unix_s + line.latency_s + AROUND_S,
    )
    return Context(replicas[::-1], plans[0] if plans else None, around[::-1])


def _span(journal: JournalFile) -> str:
    first, last = journal.span()
    if first is None or last is None:
        return "; it has no requests"
    return f"; it has those from {clock_time(first)} to {clock_time(last)} UTC"
