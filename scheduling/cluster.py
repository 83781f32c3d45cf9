"""The cluster machine: resolve the model, route, admit, forward; one reply for every request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import final

from scheduling.admission import ADMISSION, meet_token_slos
from scheduling.dispatch import ASK_FOR_PREFIXES, ROUTERS, AbstractCandidate
from scheduling.fairness_places import QueuePlaces
from scheduling.in_flight import InFlight, Taken
from scheduling.roster import Roster, RosterEvent
from scheduling.two_choices import first_count
from vocabulary.catalog import Catalog
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits
from vocabulary.messages import (
    Arrived,
    Begun,
    Cancelled,
    CatalogChanged,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupHeard,
    GroupLost,
    GroupRemoved,
    Reply,
    Settled,
    Withdraw,
)
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S, TIME_TOLERANCE_S

# What settled so went through the stages; anything else left the queue without running.
_RAN = frozenset({Fate.SERVED, Fate.FAILED, Fate.INVALID})
_BY_ARRIVAL = attrgetter("arrival_s", "id")


@final
class ClusterScheduler:
    """Decides for every arrival of a fleet whose groups come and go. See `scheduling.machine.Machine`.

    Within an instant settled requests come before lost groups, those before cancellations, those before
    arrivals, each by id or time. What is told of one group comes from one place, and counts in its order.
    """

    def __init__(
        self,
        placement: Placement,
        *,
        catalog: Catalog,
        policy: Policy,
        limits: Sequence[Mapping[str, GenerationLimits]] = (),
        front: int = 0,
    ) -> None:
        """placement: groups that are there from the start, closed, with indices 0, 1, ... as if added.

        limits: for each group, of its models that generate; without any, all requests are one-shot. front:
        which front end decides here, so that no two take turns in step.
        """
        self._route = ROUTERS[policy.router]
        self._admit = ADMISSION[policy.admission]
        self._keeps_slos = policy.admission == "slo"
        self._slack_s = policy.slack_s
        self._overhead_s = catalog.latency.fixed_overhead_s
        self._roster = Roster(catalog, asks_for_prefixes=policy.router in ASK_FOR_PREFIXES)
        # Looked up for every arrival.
        self._open, self._generating = self._roster.open, self._roster.generating
        is_fair = policy.queue == "vtc"
        self._places = QueuePlaces(policy.max_queued_requests, shared=self._generating if is_fair else set())
        for index, group in enumerate(placement.groups):
            self._roster.add(index, group, limits[index] if limits else {})
        self._num_routed: defaultdict[str, int] = defaultdict(partial(first_count, front))
        self._in_flight = InFlight()
        self._arrived: list[Request] = []
        self._settled: list[Settled] = []
        self._cancelled: list[int] = []
        self._heard: list[GroupHeard] = []
        self._lost: list[RosterEvent] = []
        # Of requests that are given again at this instant, the group that was lost with them.
        self._lost_by: dict[int, int] = {}

    def observe(self, event: ClusterEvent) -> None:
        match event:
            case Arrived(request):
                self._arrived.append(request)
            case Settled():
                self._settled.append(event)
            case Begun(request_ids):
                self._in_flight.begin(request_ids)
            case Cancelled(request_id):
                self._cancelled.append(request_id)
            case GroupHeard():
                self._heard.append(event)
            case CatalogChanged(catalog):
                self._overhead_s = catalog.latency.fixed_overhead_s
                self._roster.adopt(catalog)
            case _:
                self._observe_group(event)

    def decide(self, now_s: float) -> list[ClusterCommand]:
        commands: list[ClusterCommand] = []
        if self._heard:
            heard, self._heard = self._heard, []
            for event in heard:
                self._roster.observe(event)
        if self._settled:
            self._settle(now_s, commands)
        if self._lost:
            self._lose(commands)
        if self._cancelled:
            self._cancel(commands)
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            if len(arrived) > 1:
                arrived.sort(key=_BY_ARRIVAL)
            for request in arrived:
                place = self._place_again if request.id in self._lost_by else self._place
                commands.append(place(request, now_s))
        return commands

    @property
    def wake_s(self) -> float:
        return NEVER_S

    @property
    def num_in_flight(self) -> int:
        return len(self._in_flight.taken)

    def group_in_flight(self, group_index: int, model: str | None = None) -> int:
        """Requests that the group has, of the model or of all; of a model it looks at all in flight."""
        if model is not None:
            return self._in_flight.num_of(group_index, model)
        load = self._roster.load(group_index)
        return 0 if load is None else load.num_in_flight

    def is_open(self, group_index: int) -> bool:
        load = self._roster.load(group_index)
        return load is not None and load.is_open

    def _observe_group(self, event: RosterEvent) -> None:
        # A loss waits for what settled in its instant, and what is told of groups after it waits with it.
        if self._lost or isinstance(event, GroupLost | GroupRemoved):
            self._lost.append(event)
        else:
            self._roster.observe(event)

    def _settle(self, now_s: float, commands: list[ClusterCommand]) -> None:
        settled, self._settled = self._settled, []
        taken = self._in_flight.taken
        if len(settled) > 1:
            settled.sort(key=attrgetter("finish_s", "request_id"))
        for event in settled:
            one = taken.pop(event.request_id, None)
            if one is None:  # its group was lost, and the request answered, before this came
                continue
            self._places.give_back(one.request.model, one.request.tenant)
            candidate = one.candidate
            if event.fate in _RAN:
                candidate.served(event.finish_s)
            else:
                candidate.dropped(now_s)
            if not one.is_replied:
                commands.append(Reply(event.request_id, event.fate, candidate.group.index))

    def _lose(self, commands: list[ClusterCommand]) -> None:
        lost, self._lost = self._lost, []
        for event in lost:
            self._roster.observe(event)
        gone = {event.group_index for event in lost if isinstance(event, GroupLost | GroupRemoved)}
        for one in self._in_flight.pop_of(gone):
            request, index = one.request, one.candidate.group.index
            self._places.give_back(request.model, request.tenant)
            if one.is_replied:
                continue
            fate = one.fate_when_lost
            if fate is None:
                self._lost_by[request.id] = index
                self._arrived.append(request)
            else:
                commands.append(Reply(request.id, fate, index))

    def _cancel(self, commands: list[ClusterCommand]) -> None:
        cancelled, self._cancelled = sorted(set(self._cancelled)), []
        for request_id in cancelled:
            one = self._in_flight.taken.get(request_id)
            if one is not None and not one.is_replied:
                # It stays in flight until the group settles it: the group may be running it right now.
                one.is_replied = True
                index = one.candidate.group.index
                commands += (Withdraw(request_id, index), Reply(request_id, Fate.CANCELLED, index))
                continue
            if any(request.id == request_id for request in self._arrived):
                self._arrived = [request for request in self._arrived if request.id != request_id]
                commands.append(Reply(request_id, Fate.CANCELLED, self._lost_by.pop(request_id, None)))

    def _place_again(self, request: Request, now_s: float) -> ClusterCommand:
        """As an arrival, on a group that is left; where that cannot be, another try may be worth it."""
        command = self._place(request, now_s)
        lost_by = self._lost_by.pop(request.id)
        if isinstance(command, Forward):
            self._in_flight.taken[request.id].lost_by = lost_by
            return command
        return Reply(request.id, Fate.UNAVAILABLE, lost_by)

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
        if not self._admit(request, finish_s, self._slack_s) or self._is_too_late(request, finish_s):
            return Reply(request.id, Fate.SLO_INFEASIBLE, chosen.group.index)
        return self._forward(request, chosen, now_s)

    def _place_generating(self, request: Request, now_s: float) -> ClusterCommand:
        """What it would take depends on its length and on who is there, so candidates are made for it."""
        candidates = self._roster.generating_candidates(request)
        if not candidates:
            return Reply(request.id, Fate.INVALID)
        chosen = self._route(candidates, now_s, self._num_routed[request.model])
        self._num_routed[request.model] += 1
        first_token_s = chosen.first_token_s(now_s) + self._overhead_s
        finish_s = first_token_s + chosen.answer_s
        keeps = not self._keeps_slos or meet_token_slos(request, first_token_s, finish_s, self._slack_s)
        if not keeps or self._is_too_late(request, finish_s):
            return Reply(request.id, Fate.SLO_INFEASIBLE, chosen.group.index)
        return self._forward(request, chosen, now_s)

    def _is_too_late(self, request: Request, finish_s: float) -> bool:
        """A request that is given again has to keep its deadline, whatever the policy admits."""
        return request.id in self._lost_by and finish_s > request.deadline_s + TIME_TOLERANCE_S

    def _forward(self, request: Request, chosen: AbstractCandidate, now_s: float) -> Forward:
        finish_s = chosen.take(now_s) + self._overhead_s
        self._in_flight.taken[request.id] = Taken(request, chosen)
        self._places.take(request.model, request.tenant)
        return Forward(request, chosen.group.index, finish_s)
