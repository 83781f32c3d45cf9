"""Metric families that are read from groups when they are scraped: what workers say in their heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from controller.calls import ModelState
from vocabulary.placement import Group
from workers.frames import Beat, ModelBeat

_PER_GROUP = ("group",)
_PER_MODEL = ("model", "group")


class Watched(Protocol):
    """Who knows the groups: a fleet's server."""

    @property
    def groups(self) -> Mapping[int, Group]: ...

    def beat_of(self, group_index: int) -> Beat | None: ...

    def replica_state(self, group_index: int, model: str) -> ModelState: ...


@final
class WatchedGroups:
    """A collector of prometheus_client. Groups that are gone are not in the next scrape."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector; on a thread of its own."""
        groups = list(self._watched.groups.items())
        beats = [(group, self._watched.beat_of(index)) for index, group in groups]
        heard = [(group, beat) for group, beat in beats if beat is not None]
        yield _gauge("queue_requests", "Requests that wait in the group", heard, lambda one: one.num_waiting)
        yield _gauge("running_requests", "Requests that run in the group", heard, lambda one: one.num_running)
        yield _stages(heard)
        yield from _generating(heard)
        yield self._states(groups)

    def _states(self, groups: list[tuple[int, Group]]) -> Metric:
        family = GaugeMetricFamily(
            "statmux_model_state", "1 for the state a model is in", labels=(*_PER_MODEL, "state")
        )
        for index, group in groups:
            for model in group.models:
                now = self._watched.replica_state(index, model)
                for each in ModelState:
                    family.add_metric((model, group.id, each.value), float(now is each))
        return family


def _gauge(name: str, words: str, heard: list[tuple[Group, Beat]], value: Callable[[Beat], float]) -> Metric:
    family = GaugeMetricFamily(f"statmux_{name}", words, labels=_PER_GROUP)
    for group, beat in heard:
        family.add_metric((group.id,), value(beat))
    return family


def _stages(heard: list[tuple[Group, Beat]]) -> Metric:
    family = CounterMetricFamily(
        "statmux_group_stage_busy_seconds", "Seconds that the stage has worked", labels=("group", "stage")
    )
    for group, beat in heard:
        for stage, busy_s in enumerate(beat.stage_busy_s):
            family.add_metric((group.id, str(stage)), busy_s)
    return family


def _generating(heard: list[tuple[Group, Beat]]) -> Iterator[Metric]:
    """Of models that answer token by token."""

    def counter(name: str, words: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"statmux_{name}", words, labels=_PER_MODEL)

    usage = GaugeMetricFamily("statmux_kv_cache_usage_ratio", "Pages in use, of all", labels=_PER_MODEL)
    families: tuple[tuple[Metric, Callable[[ModelBeat], float]], ...] = (
        (usage, _usage),
        (counter("prefix_cache_queries", "Tokens of prompts begun"), lambda one: one.num_prompt),
        (counter("prefix_cache_hits", "Of them in the cache already"), lambda one: one.num_hit),
        (counter("preemptions", "Times an answer gave its pages back"), lambda one: one.num_preempted),
    )
    for family, value in families:
        for group, beat in heard:
            for one in beat.models:
                family.add_metric((one.model, group.id), value(one))
        yield family


def _usage(one: ModelBeat) -> float:
    return 1.0 - one.num_free_pages / one.num_pages if one.num_pages else 0.0
