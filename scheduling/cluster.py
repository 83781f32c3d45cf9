"""The cluster machine: resolve the model, route, admit, forward; one reply for every request."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import assert_never, final

from scheduling.admission import ADMISSION, meet_token_slos
from scheduling.dispatch import ASK_FOR_PREFIXES, ROUTERS, AbstractCandidate, Candidate
from scheduling.fairness_places import QueuePlaces
from scheduling.generation_load import generating_candidate
from scheduling.holders import holders_of
from scheduling.load import GroupLoad
from vocabulary.catalog import Catalog
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits
from vocabulary.messages import (
    Arrived,
    Cancelled,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupLost,
    GroupOpened,
    Reply,
    Settled,
    Withdraw,
)
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S

# What settled so went through the stages; anything else left the queue without running.
_RAN = frozenset({Fate.SERVED, Fate.FAILED, Fate.INVALID})


@dataclass(slots=True)
class _InFlight:
    candidate: AbstractCandidate
    model: str
    tenant: str
    is_replied: bool = False


@final
class ClusterScheduler:
    """Decides for every arrival of a fleet with one placement. See `scheduling.machine.Machine`.

    Within an instant settled requests come before cancellations, those before arrivals, each by id or time.
    """

    def __init__(
        self,
        placement: Placement,
        *,
        catalog: Catalog,
        policy: Policy,
        limits: Sequence[Mapping[str, GenerationLimits]] = (),
    ) -> None:
        """limits: for each group, of its models that generate; without any, all requests are one-shot."""
        self._route = ROUTERS[policy.router]
        self._admit = ADMISSION[policy.admission]
        self._keeps_slos = policy.admission == "slo"
        self._slack_s = policy.slack_s
        self._overhead_s = catalog.latency.fixed_overhead_s
        self._loads = tuple(GroupLoad(i, g.config.pipeline) for i, g in enumerate(placement.groups))
        self._holders = holders_of(
            placement,
            self._loads,
            catalog,
            limits or ({},) * len(placement.groups),
            asks_for_prefixes=policy.router in ASK_FOR_PREFIXES,
        )
        self._generating = {model for models in limits for model in models}
        # Of every placed model, the holders that are open: what a router chooses from.
        self._open: dict[str, tuple[Candidate, ...]] = dict.fromkeys(self._holders, ())
        self._num_routed = dict.fromkeys(self._holders, 0)
        is_fair = policy.queue == "vtc"
        self._places = QueuePlaces(
            policy.max_queued_requests, shared=frozenset(self._generating if is_fair else ())
        )
        self._in_flight: dict[int, _InFlight] = {}
        self._arrived: list[Request] = []
        self._settled: list[Settled] = []
        self._cancelled: list[int] = []
        self._lost: list[int] = []

    def observe(self, event: ClusterEvent) -> None:
        match event:
            case Arrived(request):
                self._arrived.append(request)
            case Settled():
                self._settled.append(event)
            case Cancelled(request_id):
                self._cancelled.append(request_id)
            case GroupOpened(index):
                self._loads[index].is_open = True
                self._find_open()
            case GroupLost(index):
                self._lost.append(index)
            case _:
                assert_never(event)

    def decide(self, now_s: float) -> list[ClusterCommand]:
        commands: list[ClusterCommand] = []
        if self._settled:
            self._settle(now_s, commands)
        if self._lost:
            self._lose(commands)
        if self._cancelled:
            self._cancel(commands)
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            if len(arrived) > 1:
                arrived.sort(key=attrgetter("arrival_s", "id"))
            for request in arrived:
                commands.append(self._place(request, now_s))
        return commands

    @property
    def wake_s(self) -> float:
        return NEVER_S

    @property
    def num_in_flight(self) -> int:
        return len(self._in_flight)

    def group_in_flight(self, group_index: int) -> int:
        return self._loads[group_index].num_in_flight

    def is_open(self, group_index: int) -> bool:
        return self._loads[group_index].is_open

    def _settle(self, now_s: float, commands: list[ClusterCommand]) -> None:
        settled, self._settled = self._settled, []
        if len(settled) > 1:
            settled.sort(key=attrgetter("finish_s", "request_id"))
        for event in settled:
            request = self._in_flight.pop(event.request_id, None)
            if request is None:  # its group was lost, and the request answered, before this came
                continue
            self._places.give_back(request.model, request.tenant)
            candidate = request.candidate
            if event.fate in _RAN:
                candidate.served(event.finish_s)
            else:
                candidate.dropped(now_s)
            if not request.is_replied:
                commands.append(Reply(event.request_id, event.fate, candidate.group.index))

    def _lose(self, commands: list[ClusterCommand]) -> None:
        lost, self._lost = set(self._lost), []
        for index in sorted(lost):
            self._loads[index].lost()
        for holder in itertools.chain.from_iterable(self._holders.values()):
            if holder.group.index in lost:
                holder.lost()
        self._find_open()
        for request_id, request in sorted(self._in_flight.items()):
            index = request.candidate.group.index
            if index in lost:
                del self._in_flight[request_id]
                self._places.give_back(request.model, request.tenant)
                if not request.is_replied:
                    commands.append(Reply(request_id, Fate.FAILED, index))

    def _cancel(self, commands: list[ClusterCommand]) -> None:
        cancelled, self._cancelled = sorted(set(self._cancelled)), []
        for request_id in cancelled:
            request = self._in_flight.get(request_id)
            if request is not None and not request.is_replied:
                # It stays in flight until the group settles it: the group may be running it right now.
                request.is_replied = True
                index = request.candidate.group.index
                commands += (Withdraw(request_id, index), Reply(request_id, Fate.CANCELLED, index))
                continue
            if any(request.id == request_id for request in self._arrived):
                self._arrived = [request for request in self._arrived if request.id != request_id]
                commands.append(Reply(request_id, Fate.CANCELLED))

    def _place(self, request: Request, now_s: float) -> ClusterCommand:
        model = request.model
        candidates = self._open.get(model)
        if not candidates:
            return Reply(request.id, Fate.NOT_PLACED if candidates is None else Fate.UNAVAILABLE)
        if not self._places.has_room(model, request.tenant):
            return Reply(request.id, Fate.QUEUE_FULL)
        if request.output_tokens and model in self._generating:
            return self._place_generating(request, now_s)
        chosen = self._route(candidates, now_s, self._num_routed[model])
        self._num_routed[model] += 1
        finish_s = chosen.finish_s(now_s) + self._overhead_s
        if not self._admit(request, finish_s, self._slack_s):
            return Reply(request.id, Fate.SLO_INFEASIBLE, chosen.group.index)
        return self._forward(request, chosen, now_s)

    def _find_open(self) -> None:
        for model, holders in self._holders.items():
            self._open[model] = tuple(candidate for candidate in holders if candidate.group.is_open)

    def _place_generating(self, request: Request, now_s: float) -> ClusterCommand:
        """What it would take depends on its length and on who is there, so candidates are made for it."""
        model = request.model
        candidates = [
            generating_candidate(holder.group, load, request, sent=holder.sent)
            for holder in self._open[model]
            if (load := holder.model_load) is not None and load.can_ever_run(request)
        ]
        if not candidates:
            return Reply(request.id, Fate.INVALID)
        chosen = self._route(candidates, now_s, self._num_routed[model])
        self._num_routed[model] += 1
        first_token_s = chosen.first_token_s(now_s) + self._overhead_s
        if self._keeps_slos and not meet_token_slos(
            request, first_token_s, first_token_s + chosen.answer_s, self._slack_s
        ):
            return Reply(request.id, Fate.SLO_INFEASIBLE, chosen.group.index)
        return self._forward(request, chosen, now_s)

    def _forward(self, request: Request, chosen: AbstractCandidate, now_s: float) -> Forward:
        finish_s = chosen.take(now_s) + self._overhead_s
        self._in_flight[request.id] = _InFlight(chosen, request.model, request.tenant)
        self._places.take(request.model, request.tenant)
        return Forward(request, chosen.group.index, finish_s)
