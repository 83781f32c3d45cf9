"""Metric families that are read from groups when they are scraped: what workers say in their heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, final

from prometheus_client.core import Metric

from controller.calls import ModelState
from controller.metric_families import (
    CACHE_USAGE,
    DEVICE_BUSY,
    GROUP_UP,
    GROUPS_LOST,
    MEMORY_TOTAL,
    MEMORY_USED,
    MODEL_STATE,
    PREEMPTIONS,
    PREFIX_HITS,
    PREFIX_QUERIES,
    QUEUE,
    RUNNING,
    STAGE_BUSY,
    STATES,
    TARGET,
    catalogue,
)
from controller.metric_family import Family
from vocabulary.deployment import Deployment
from vocabulary.placement import Group
from workers.frames import Beat, ModelBeat

Heard = list[tuple[Group, Beat]]
_FAILED = "FAILED"
# Of models that answer token by token.
_GENERATING: Mapping[Family, Callable[[ModelBeat], float]] = {
    CACHE_USAGE: lambda one: 1.0 - one.num_free_pages / one.num_pages if one.num_pages else 0.0,
    PREFIX_QUERIES: lambda one: one.num_prompt,
    PREFIX_HITS: lambda one: one.num_hit,
    PREEMPTIONS: lambda one: one.num_preempted,
}


class Watched(Protocol):
    """Who knows the groups: a fleet's server."""

    @property
    def deployment(self) -> Deployment: ...

    @property
    def groups(self) -> Mapping[int, Group]: ...

    def beat_of(self, group_index: int) -> Beat | None: ...

    def replica_state(self, group_index: int, model: str) -> ModelState: ...

    def loss_of(self, group_index: int) -> str: ...


@final
class WatchedGroups:
    """A collector of prometheus_client. Groups that are gone are not in the next scrape."""

    def __init__(self, watched: Watched, *, losses: Mapping[str, int]) -> None:
        """losses: of each group, how often its worker was lost."""
        self._watched = watched
        self._losses = losses

    def describe(self) -> list[Metric]:
        """By which prometheus_client finds this collector when some families only are asked for."""
        return [family.read() for family in catalogue() if family.source == "watched"]

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector; on a thread of its own."""
        groups = list(self._watched.groups.items())
        beats = [(group, self._watched.beat_of(index)) for index, group in groups]
        heard = [(group, beat) for group, beat in beats if beat is not None]
        yield from _requests(heard)
        yield _stages(heard)
        yield from _generating(heard)
        yield from self._devices([group for _, group in groups], heard)
        yield self._targets()
        yield from self._lives(groups)
        yield self._states(groups)

    def _lives(self, groups: list[tuple[int, Group]]) -> Iterator[Metric]:
        up, lost = GROUP_UP.read(), GROUPS_LOST.read()
        for index, group in groups:
            up.add_metric((group.id,), float(self._watched.beat_of(index) is not None))
        for group_id in {group.id for _, group in groups} | set(self._losses):
            lost.add_metric((group_id,), self._losses.get(group_id, 0))
        yield from (up, lost)

    def _states(self, groups: list[tuple[int, Group]]) -> Metric:
        family = MODEL_STATE.read()
        for index, group in groups:
            for model in group.models:
                now = self._state(index, model)
                for each in STATES:
                    family.add_metric((model, group.id, each), float(now == each))
        return family

    def _state(self, index: int, model: str) -> str:
        """As Triton spells it; but its UNAVAILABLE does not tell a fault from what people want."""
        is_failed = bool(self._watched.loss_of(index))
        return _FAILED if is_failed else self._watched.replica_state(index, model).value

    def _targets(self) -> Metric:
        family = TARGET.read()
        for model in self._watched.deployment.models:
            if model.slo.attainment is not None:
                family.add_metric((model.name,), model.slo.attainment)
        return family

    def _devices(self, groups: list[Group], heard: Heard) -> Iterator[Metric]:
        used, total, busy = MEMORY_USED.read(), MEMORY_TOTAL.read(), DEVICE_BUSY.read()
        totals = {one.id: one.memory_bytes for one in self._watched.deployment.cluster.devices}
        holders = {device: group.id for group in groups for device in group.devices}
        for group, beat in heard:
            for device, one in zip(group.devices, beat.devices, strict=False):
                labels = (_node(device), device, group.id)
                used.add_metric(labels, one.used_bytes)
                busy.add_metric(labels, one.busy_ratio)
                totals[device] = one.total_bytes or totals.get(device, 0)
        for device, num_bytes in totals.items():
            total.add_metric((_node(device), device, holders.get(device, "")), num_bytes)
        yield from (used, total, busy)


def _requests(heard: Heard) -> Iterator[Metric]:
    """Of a model that generates its own scheduler knows better: what was preempted waits."""
    waiting, running = QUEUE.read(), RUNNING.read()
    for group, beat in heard:
        generating = {one.model: one for one in beat.models}
        for replica in beat.replicas:
            one, labels = generating.get(replica.model), (replica.model, group.id)
            num_running = replica.num_running if one is None else one.num_running
            waiting.add_metric(labels, replica.num_held - num_running if one is None else one.num_waiting)
            running.add_metric(labels, num_running)
    yield from (waiting, running)


def _stages(heard: Heard) -> Metric:
    family = STAGE_BUSY.read()
    for group, beat in heard:
        for stage, busy_s in enumerate(beat.stage_busy_s):
            family.add_metric((group.id, str(stage)), busy_s)
    return family


def _generating(heard: Heard) -> Iterator[Metric]:
    for known, value in _GENERATING.items():
        family = known.read()
        for group, beat in heard:
            for one in beat.models:
                family.add_metric((one.model, group.id), value(one))
        yield family


def _node(device: str) -> str:
    return device.rpartition(":")[0]
