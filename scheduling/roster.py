"""Which groups there are, which models each holds, and which of them take requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never, final

from scheduling.dispatch import Candidate
from scheduling.generation_costs import GenerationCosts
from scheduling.generation_load import GeneratingCandidate, GenerationLoad, generating_candidate
from scheduling.heard import hear
from scheduling.load import GroupLoad
from scheduling.sent_prefixes import SentPrefixes
from vocabulary.catalog import Catalog
from vocabulary.generation import GenerationLimits
from vocabulary.messages import (
    GroupAdded,
    GroupHeard,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
)
from vocabulary.placement import Group
from vocabulary.request import Request

RosterEvent = GroupAdded | GroupOpened | ReplicaOpened | ReplicaClosed | GroupHeard | GroupLost | GroupRemoved


@dataclass(slots=True)
class _Known:
    """A group. replicas: of every model that it held since it was added, closed ones too."""

    group: Group
    load: GroupLoad
    replicas: dict[str, Candidate] = field(default_factory=dict)
    # Of those the ones that take requests while the group is open.
    taking: set[str] = field(default_factory=set)

    def lose(self) -> None:
        """It is closed, and whatever it held and had in its caches is gone."""
        self.load.lost()
        for replica in self.replicas.values():
            replica.lost()


@final
class Roster:
    """Groups by their index, each with what the cluster machine believes of it and of its models.

    open: of every model that any group holds, the replicas that take requests, in the order of the groups'
    indices: what a router chooses from. generating: models that generate somewhere.
    """

    __slots__ = ("_asks_for_prefixes", "_catalog", "_groups", "_holders", "generating", "open")

    def __init__(self, catalog: Catalog, *, asks_for_prefixes: bool) -> None:
        """asks_for_prefixes: whether the router wants to know what prompts find in caches."""
        self._catalog = catalog
        self._asks_for_prefixes = asks_for_prefixes
        self._groups: dict[int, _Known] = {}
        self._holders: dict[str, dict[int, Candidate]] = {}
        self.open: dict[str, tuple[Candidate, ...]] = {}
        self.generating: set[str] = set()

    def load(self, index: int) -> GroupLoad | None:
        """What is believed of the group; None where there is none of this index."""
        known = self._groups.get(index)
        return None if known is None else known.load

    def add(self, index: int, group: Group, limits: Mapping[str, GenerationLimits]) -> None:
        """A group that is closed. limits: of its models that generate."""
        assert index not in self._groups, f"group index {index} is given twice"
        known = _Known(group, GroupLoad(index, group.config.pipeline))
        self._groups[index] = known
        for model in group.models:
            self._hold(known, model, limits.get(model))
        self._find_open(known.replicas)

    def generating_candidates(self, request: Request) -> list[GeneratingCandidate]:
        """The open replicas of its model that can ever run it, with what it would take there now."""
        return [
            generating_candidate(holder.group, load, request, sent=holder.sent)
            for holder in self.open[request.model]
            if (load := holder.model_load) is not None and load.can_ever_run(request)
        ]

    def adopt(self, catalog: Catalog) -> None:
        """Replicas that are added, or open again, from now on cost this."""
        self._catalog = catalog

    def observe(self, event: RosterEvent) -> None:
        """Groups that nobody knows are passed over: they were removed."""
        if isinstance(event, GroupAdded):
            self.add(event.group_index, event.group, event.limits)
            return
        known = self._groups.get(event.group_index)
        if known is None:
            return
        match event:
            case GroupOpened():
                known.load.is_open = True
            case ReplicaOpened(_, model, limits):
                before = known.replicas.get(model)
                self._hold(known, model, limits if before is None else limits or _limits_of(before))
            case ReplicaClosed(_, model):
                known.taking.discard(model)
            case GroupHeard():
                hear(event, known.load, known.replicas)
                return
            case GroupLost():
                known.lose()
            case GroupRemoved():
                self._remove(known)
            case _:
                assert_never(event)
        self._find_open(known.replicas)

    def _remove(self, known: _Known) -> None:
        known.lose()
        del self._groups[known.load.index]
        for model in known.replicas:
            holders = self._holders[model]
            del holders[known.load.index]
            if not holders:
                del self._holders[model], self.open[model]

    def _hold(self, known: _Known, model: str, limits: GenerationLimits | None) -> None:
        index, replica = known.load.index, known.replicas.get(model)
        fresh = self._replica(known, model, limits)
        # One that opens again as it was keeps what it still has in flight.
        if replica is None or _costs_of(replica) != _costs_of(fresh):
            known.replicas[model] = fresh
            self._holders.setdefault(model, {})[index] = fresh
        known.taking.add(model)

    def _replica(self, known: _Known, model: str, limits: GenerationLimits | None) -> Candidate:
        config = known.group.config
        stages_s = self._catalog.costs(model, config).single
        if limits is None:
            return Candidate(known.load, stages_s)
        self.generating.add(model)
        model_load = GenerationLoad(GenerationCosts(self._catalog.step_times(model, config), limits))
        remembers = self._asks_for_prefixes and limits.has_prefix_cache
        return Candidate(known.load, stages_s, model_load, SentPrefixes(limits) if remembers else None)

    def _find_open(self, models: Iterable[str]) -> None:
        for model in models:
            if holders := self._holders.get(model):
                self.open[model] = tuple(
                    replica
                    for index, replica in sorted(holders.items(), key=lambda item: item[0])
                    if replica.group.is_open and model in self._groups[index].taking
                )


def _limits_of(replica: Candidate) -> GenerationLimits | None:
    return None if replica.model_load is None else replica.model_load.costs.limits


def _costs_of(replica: Candidate) -> tuple[object, ...]:
    load = replica.model_load
    return (replica.stages_s, *((load.costs.times, load.costs.limits) if load is not None else ()))
