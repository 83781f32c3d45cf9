"""No safe step is left: which models stand in the way, and who could serve them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scheduling.changes.fleet import Fleet
from scheduling.changes.lives import Hold, Life
from scheduling.changes.residency import StageBytes
from vocabulary.units import NEVER_S


@dataclass(frozen=True, slots=True)
class Blocked:
    """A process that is to go, or (of `closing`) to close these models so that others have room.

    endangered: models that nobody else would serve then.
    """

    life: Life
    endangered: tuple[str, ...]
    closing: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Bridge:
    """A process that has room for the model, and what it takes there."""

    life: Life
    model: str
    taken: StageBytes


def all_blocked(fleet: Fleet) -> list[Blocked]:
    """Those with the fewest endangered models first."""
    return sorted(_blocked(fleet), key=lambda one: (len(one.endangered), one.life.group.id))


def bridges_for(blocked: Blocked, fleet: Fleet, now_s: float) -> tuple[tuple[Bridge, ...], float]:
    """Room for all endangered models, where there is any: else none, and when to look again."""
    found: list[Bridge] = []
    for model in blocked.endangered:
        hosts = [
            (fleet.restarts.next_s((life.group.id, model)), life) for life in _hosts(blocked, model, fleet)
        ]
        ready = [life for next_s, life in hosts if next_s <= now_s]
        bridge = _first_with_room(ready, model, found, fleet)
        if bridge is None:
            return (), min((next_s for next_s, _ in hosts if next_s > now_s), default=NEVER_S)
        found.append(bridge)
    return tuple(found), NEVER_S


def _blocked(fleet: Fleet) -> Iterator[Blocked]:
    for life in fleet.running():
        if life.is_leaving:
            continue
        open_models = life.held(Hold.OPEN)
        target = fleet.target(life)
        if target is None or fleet.needs_restart(life):
            yield Blocked(life, fleet.endangered(life, open_models))
        elif fleet.lacks_room(life):
            extra = tuple(model for model in open_models if model not in target.models)
            yield Blocked(life, fleet.endangered(life, extra), closing=extra)


def _hosts(blocked: Blocked, model: str, fleet: Fleet) -> list[Life]:
    """Those that stay come first."""
    hosts = [
        life
        for life in fleet.running()
        if life is not blocked.life and life.may_change and model not in life.holds
    ]
    return sorted(hosts, key=lambda life: (fleet.target(life) is None, fleet.lacks_room(life)))


def _first_with_room(hosts: list[Life], model: str, before: list[Bridge], fleet: Fleet) -> Bridge | None:
    for life in hosts:
        promised = [bridge.model for bridge in before if bridge.life is life]
        fitting = fleet.fitting(life, (*promised, model))
        if len(fitting) > len(promised):
            return Bridge(life, model, fitting[model])
    return None
