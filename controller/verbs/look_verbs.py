"""What only looks, besides `status`: models, the plan and its history, and why a request was answered so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, final

from controller.journal.explanation import DEFAULT_LAST, decisions, event_document, explanation
from controller.journal.journal import FLUSH_S
from controller.journal.read import JournalFile
from controller.verbs.control import Verb
from vocabulary.errors import InvalidInput, RuntimeFailure

Status = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
_MAX_LAST = 10_000
_OF_MODELS = ("engine", "state", "reason", "num_served", "num_failed", "slo_attainment", "mean_latency_s")


@final
class LookVerbs:
    """Over what `status` says and what the journal has; reading the file is done on threads."""

    def __init__(self, status: Status, *, journal: Path) -> None:
        self._status = status
        self._journal = JournalFile(journal)

    def by_name(self) -> Mapping[str, Verb]:
        return {"models": self._models, "plan": self._plan, "explain": self._explain}

    async def _models(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Each with the groups that hold it."""
        return models_of(await self._status(request))

    async def _plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What runs, and the last changes of what should."""
        status = await self._status(request)
        try:
            plans = await asyncio.to_thread(self._journal.plans, _last(request))
        except RuntimeFailure:  # the status says what is wrong with the journal
            plans = ()
        keys = ("id", "devices", "tensor", "pipeline", "models")
        return {
            "fleet": status["fleet"],
            "plan": status["plan"],
            "groups": [{key: group[key] for key in keys} for group in status["groups"]],
            "history": [event_document(each) for each in reversed(plans)],
        }

    async def _explain(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """request_id: of a request; without one, the `last` decisions."""
        request_id = request.get("request_id")
        if request_id is None:
            return {"events": await asyncio.to_thread(decisions, self._journal, _last(request))}
        await asyncio.sleep(2 * FLUSH_S)  # it may have been answered just now
        return await asyncio.to_thread(explanation, self._journal, str(request_id))


def models_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a status that is about models, each with its groups."""

    def told(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
        groups = [group["id"] for group in status["groups"] if name in group["models"]]
        return {**{key: one[key] for key in _OF_MODELS}, "groups": groups}

    return {
        "fleet": status["fleet"],
        "models": {name: told(name, one) for name, one in status["models"].items()},
    }


def _last(request: Mapping[str, Any]) -> int:
    """A word of a query is text."""
    try:
        last = int(request.get("last", DEFAULT_LAST))
    except (TypeError, ValueError):
        last = 0
    if not 1 <= last <= _MAX_LAST:
        raise InvalidInput(f"last is {request['last']!r}, not a number from 1 to {_MAX_LAST}")
    return last
