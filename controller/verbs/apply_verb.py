"""`apply` on the control socket: first what would change, under a ticket; then, by the ticket, the change."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from controller.change.applying import Application, Asked, Running, Written, applied, kind_of
from controller.change.rehearsal import Rehearsal, rehearse
from controller.journal import AbstractJournal
from controller.life.supervisor import Supervisor, group_words
from controller.verbs.control import Verb
from scheduling.changes.residency import DeploymentMemory
from vocabulary.deployment import Deployment
from vocabulary.deployment_changes import together
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import read_text
from vocabulary.placement import Placement

# How long `progress` waits for something to happen before it answers all the same.
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    """What would be carried out, and what had been desired when that was worked out."""

    number: str
    application: Application
    before: Placement


@final
class ApplyVerb:
    """Keeps the last preview only: who works out another change has looked away from the first."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        running: Callable[[], Running],
        journal: AbstractJournal,
        adopting: Callable[[Deployment], Awaitable[None]] | None = None,
    ) -> None:
        """adopting: hears of a deployment before it is wanted, and may refuse it."""
        self._supervisor = supervisor
        self._running = running
        self._journal = journal
        self._adopting = adopting
        self._ticket: _Ticket | None = None

    def by_name(self) -> Mapping[str, Verb]:
        return {"preview": self._preview, "apply": self._apply, "progress": self._progress}

    async def _preview(self, request: Mapping[str, Any]) -> dict[str, object]:
        """files: [path, name for messages] of a deployment, a plan, or both. overrides: of --set."""
        asked = _asked(request)
        before = self._supervisor.desired
        application = await applied(asked, self._running())
        wanted = application.plan.placement
        everything = together(application.deployment, self._supervisor.deployment)
        memory = DeploymentMemory(lambda: everything)
        rehearsal = await asyncio.to_thread(rehearse, before, wanted, memory=memory)
        self._ticket = _Ticket(secrets.token_hex(8), application, before)
        return {"ticket": self._ticket.number, **described(application, rehearsal)}

    async def _apply(self, request: Mapping[str, Any]) -> dict[str, object]:
        ticket, self._ticket = self._ticket, None
        if ticket is None or ticket.number != request.get("ticket"):
            raise InvalidInput("this change is not known any more", hint="run `statmux apply` again")
        if self._adopting is not None:
            await self._adopting(ticket.application.deployment)
        if ticket.before != self._supervisor.desired:
            hint = "look again with `statmux apply`: it is worked out from what is wanted now"
            raise InvalidInput("something else was wanted of the fleet meanwhile", hint=hint)
        may_interrupt = bool(request.get("may_interrupt", False))
        application = ticket.application
        self._journal.event("apply", why=application.why, may_interrupt=may_interrupt)
        self._supervisor.want(
            application.plan.placement,
            deployment=application.deployment,
            may_interrupt=may_interrupt,
            why=application.why,
        )
        keeps = application.deployment.journal
        self._journal.keep(requests=keeps.requests, max_rows=keeps.max_rows)
        return {"why": application.why}

    async def _progress(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Soon, or as soon as something happens."""
        supervisor = self._supervisor
        if not supervisor.is_converged:
            with suppress(TimeoutError):
                await asyncio.wait_for(supervisor.changed.wait(), _PATIENCE_S)
        return {
            "is_converged": supervisor.is_converged,
            "given_up": [
                {"group": one.group_id, "why": one.why, "models": list(one.models)}
                for one in supervisor.given_up
            ],
            "groups": {member.group.id: member.state.value for member in supervisor.members},
        }


def described(application: Application, rehearsal: Rehearsal) -> dict[str, object]:
    """A change in words and numbers, JSON-able; `docs/reference/control.md` describes its keys."""
    found = application.changes
    return {
        "is_nothing": not (found.sentences or application.moves or rehearsal.steps),
        "why": application.why,
        "changes": list(found.sentences),
        "models_added": list(found.added),
        "models_removed": list(found.removed),
        "moves": list(application.moves),
        "num_bytes": application.num_bytes,
        "steps": list(rehearsal.steps),
        "interrupted": list(rehearsal.interrupted),
        "warnings": list(application.warnings),
        "groups": [group_words(group) for group in application.plan.placement.groups],
    }


def _asked(request: Mapping[str, Any]) -> Asked:
    """Read here, on the fleet's machine, by the fleet's user. Raises InvalidInput."""
    by_kind: dict[str, Written] = {}
    for place, name in request.get("files", ()):
        path = Path(str(place))
        written = Written(read_text(path), str(name), str(path.parent))
        kind = kind_of(written)
        if kind in by_kind:
            raise InvalidInput(f"{by_kind[kind].name} is a {kind}, too", where=name, hint="apply one of them")
        by_kind[kind] = written
    return Asked(
        by_kind.get("deployment"),
        by_kind.get("plan"),
        overrides=tuple(map(str, request.get("overrides", ()))),
    )
