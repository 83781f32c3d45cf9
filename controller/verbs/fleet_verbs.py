"""What people ask of a running fleet besides status and stop: load, unload, drain, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from controller.change.changes import FleetChanges
from controller.verbs.control import Verb


@final
class FleetVerbs:
    """Answers of the control socket; errors are StatmuxErrors, which it puts into words."""

    def __init__(self, changes: FleetChanges) -> None:
        self._changes = changes

    def by_name(self) -> Mapping[str, Verb]:
        return {"load": self._load, "unload": self._unload, "drain": self._drain, "undrain": self._undrain}

    async def _load(self, request: Mapping[str, Any]) -> dict[str, object]:
        groups = await self._changes.load(str(request["model"]))
        return {"model": request["model"], "state": "READY", "groups": list(groups)}

    async def _unload(self, request: Mapping[str, Any]) -> dict[str, object]:
        await self._changes.unload(str(request["model"]))
        return {"model": request["model"], "state": "UNAVAILABLE", "groups": []}

    async def _drain(self, request: Mapping[str, Any]) -> dict[str, object]:
        target = str(request["target"])
        lost = await self._changes.drain(target, may_interrupt=bool(request.get("force", False)))
        return {"target": target, "state": "drained", "unplaced": list(lost)}

    async def _undrain(self, request: Mapping[str, Any]) -> dict[str, object]:
        target = str(request["target"])
        await self._changes.undrain(target)
        return {"target": target, "state": "open"}
