"""Groups that run on Ray without a controller: found by the names of their actors, asked how they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.util import get_placement_group, list_named_actors, placement_group_table, remove_placement_group

from controller.on_ray.group import RayGroup
from controller.on_ray.names import GroupName, groups_among
from controller.on_ray.nouns import Share
from workers.actor import Resumed, Started
from workers.spec import WorkerSpec

Shares = Callable[[WorkerSpec], Sequence[Share] | None]


def find_groups(shares_of: Shares, *, timeout_s: float) -> list[tuple[RayGroup, Started]]:
    """Those of the namespace that was joined that answer in time, and whose hosts are there.

    The others are ended.
    """
    actors = {
        name: [_actor(name.actor(place)) for place in range(number)]
        for name, number in groups_among(list_named_actors()).items()
    }
    promises = {name: each[0].resume.remote() for name, each in actors.items() if None not in each}
    if promises:
        ray.wait(list(promises.values()), num_returns=len(promises), timeout=timeout_s)
    found: dict[str, tuple[RayGroup, Started]] = {}
    for name, promise in promises.items():
        answer = _answer(promise)
        group = None if answer is None else _group(name, answer, actors[name], shares_of)
        if group is not None:
            found[group.id] = (group, answer.started)
    end_namespace(but={group.name for group, _ in found.values()})
    return list(found.values())


def end_namespace(*, but: Collection[GroupName] = ()) -> int:
    """Kill the actors of the namespace that was joined, and give their devices back; how many there were."""
    kept = {str(name) for name in but}
    ended = [name for name in list_named_actors() if name.rpartition("/")[0] not in kept]
    for name in ended:
        actor = _actor(name)
        if actor is not None:
            ray.kill(actor)
    for name in _reservations():
        if name not in kept:
            with suppress(ValueError):  # It was removed meanwhile.
                remove_placement_group(get_placement_group(name))
    return len(ended)


def _reservations() -> list[str]:
    """Names of placement groups that are in this namespace: others of the same name cannot be asked for."""
    names = {one["name"] for one in placement_group_table().values() if one["state"] != "REMOVED"}
    found = []
    for name in names:
        with suppress(ValueError):
            get_placement_group(name)
            found.append(name)
    return found


def _actor(name: str) -> Any:
    try:
        return ray.get_actor(name)
    except ValueError:  # It died meanwhile.
        return None


def _answer(promise: ray.ObjectRef) -> Resumed | None:
    """None of a group that has not started yet, is stalled, or dead."""
    try:
        return ray.get(promise, timeout=0.0)
    except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError):
        return None


def _group(name: GroupName, answer: Resumed, actors: Sequence[Any], shares_of: Shares) -> RayGroup | None:
    shares = shares_of(answer.spec)
    if shares is None or len(actors) != 1 + len(answer.spec.followers):
        return None
    try:
        reservation = get_placement_group(str(name))
    except ValueError:
        return None
    group = RayGroup(answer.spec, shares, incarnation=name.incarnation)
    group.found(actors, reservation)
    group.identities = (answer.identity,)
    if answer.endpoint is not None:
        group.opened(answer.endpoint, answer.spec.followers)
    return group
