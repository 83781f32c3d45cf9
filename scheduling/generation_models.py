"""The generating models of a group: whose step is next, and what a group says of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import final

import msgspec

from scheduling.backlog import generation_s
from scheduling.generation import GenerationScheduler
from scheduling.generation_costs import GenerationCosts
from scheduling.generation_sequence import Step
from scheduling.queueing import ORDERS
from scheduling.waiting_policies import WaitingLines
from vocabulary.catalog import Catalog, StageSeconds
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import Batch, BatchFinished, GroupCommand, Settle, TellFirstToken
from vocabulary.placement import Group
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S


@dataclass(slots=True)
class _Model:
    """One model. ended_s: when its last step ended."""

    name: str
    scheduler: GenerationScheduler
    costs: GenerationCosts
    ended_s: float = NEVER_S

    @property
    def waiting_since_s(self) -> float:
        """Running sequences wait since the last step; without any, the next request since it came."""
        if self.scheduler.has_eligible:
            return self.ended_s
        head = self.scheduler.head()
        return NEVER_S if head is None else head.arrival_s


class ModelStep(msgspec.Struct, frozen=True):
    """A step, of which model, and seconds of each stage."""

    model: str
    step: Step
    stages_s: StageSeconds


@final
class GeneratingModels:
    """All that a group machine asks of the models that generate on it."""

    def __init__(
        self,
        group: Group,
        limits: Mapping[str, GenerationLimits],
        *,
        catalog: Catalog,
        policy: Policy,
        tells_pages: bool = False,
    ) -> None:
        """tells_pages: batches say which pages their sequences hold and what moves, for a real engine."""
        self._config = group.config
        self._order = ORDERS[policy.queue]
        self._lines = WaitingLines(policy)
        self._models: dict[str, _Model] = {}
        for name, one in limits.items():
            self.add(name, one, catalog=catalog)
        self._tells_pages = tells_pages
        self._overhead_s = catalog.latency.fixed_overhead_s
        self._drops_late = policy.admission == "slo"
        self._refused: list[int] = []
        # Steps in the stages, by the id of their batch.
        self._running: dict[int, ModelStep] = {}

    def add(self, name: str, limits: GenerationLimits, *, catalog: Catalog) -> None:
        """One model more, of which nothing is in the cache."""
        assert name not in self._models, name
        times = catalog.step_times(name, self._config)
        scheduler = GenerationScheduler(
            limits,
            order=self._order,
            num_stages=self._config.pipeline,
            waiting=self._lines.of_model(times, limits),
            times=times,
        )
        self._models[name] = _Model(name, scheduler, GenerationCosts(times, limits))

    def remove(self, name: str) -> None:
        """The model of that name generates no more, if it did; nothing of it waits or runs."""
        model = self._models.pop(name, None)
        assert model is None or not model.scheduler.num_waiting + model.scheduler.num_running, name

    def takes(self, request: Request) -> bool:
        """Whether the request is answered token by token."""
        return request.output_tokens > 0 and request.model in self._models

    def push(self, request: Request) -> None:
        """It waits, or is refused by the next `settle_refused`."""
        scheduler = self._models[request.model].scheduler
        if scheduler.can_ever_run(request):
            scheduler.push(request)
        else:
            self._refused.append(request.id)

    def settle_refused(self) -> list[GroupCommand]:
        """Requests that no step could ever hold."""
        if not self._refused:
            return []
        refused, self._refused = tuple(sorted(self._refused)), []
        return [Settle(refused, Fate.INVALID)]

    def cancel(self, request_id: int) -> bool:
        """Forget a request; False when it is in a step, with which it is settled, or not here."""
        return any(model.scheduler.drop(request_id) for model in self._models.values())

    def settle_late(self, now_s: float) -> list[GroupCommand]:
        """Drop heads that have not begun and would miss an objective even alone."""
        if not self._drops_late:
            return []
        late: list[int] = []
        for model in self._models.values():
            while (head := model.scheduler.head_not_begun()) is not None:
                if not self._is_late(model, head, now_s):
                    break
                model.scheduler.drop(head.id)
                late.append(head.id)
        return [Settle(tuple(late), Fate.SLO_INFEASIBLE)] if late else []

    def start(self, batch_id: int, started: ModelStep) -> Batch:
        """The batch that computes a step."""
        self._running[batch_id] = started
        step = started.step
        if not self._tells_pages:
            return Batch(batch_id, started.model, step.requests, step.slices, step.num_kv_tokens)
        return Batch(
            batch_id,
            started.model,
            step.requests,
            step.slices,
            step.num_kv_tokens,
            step.told_slices(),
            step.moves,
        )

    def finish(self, event: BatchFinished, now_s: float) -> list[GroupCommand]:
        """What came of a step that left the last stage."""
        ended = self._running.pop(event.batch_id)
        model = self._models[ended.model]
        model.ended_s = now_s
        progress = model.scheduler.finish(
            ended.step, failed=event.failed, stopped=event.stopped, full_pages=event.full_pages
        )
        commands: list[GroupCommand] = []
        if progress.first_token_ids:
            commands.append(TellFirstToken(progress.first_token_ids))
        if progress.finished_ids:
            commands.append(Settle(progress.finished_ids, Fate.SERVED))
        if progress.dropped_ids:
            commands.append(Settle(progress.dropped_ids, Fate.CANCELLED))
        if progress.failed_ids:
            commands.append(Settle(progress.failed_ids, Fate.FAILED))
        return commands

    @property
    def statistics(self) -> Mapping[str, GenerationStatistics]:
        return {name: model.scheduler.statistics for name, model in self._models.items()}

    @property
    def schedulers(self) -> Mapping[str, GenerationScheduler]:
        """Of each model: what waits and runs there, and its pages."""
        return {name: model.scheduler for name, model in self._models.items()}

    @property
    def num_running(self) -> int:
        return sum(model.scheduler.num_running for model in self._models.values())

    def num_waiting(self) -> Counter[str]:
        """Of each model."""
        return Counter({name: model.scheduler.num_waiting for name, model in self._models.items()})

    def backlog_s(self) -> list[StageSeconds]:
        """Of each model, seconds of each stage for all that waits and runs; O(n)."""
        return [
            generation_s(model.scheduler.unfinished(), model.costs.times, model.costs.limits)
            for model in self._models.values()
        ]

    def next_step(self, before_s: float) -> ModelStep | None:
        """Of the model that has waited longest, if that is since before `before_s`, and can compute."""
        waiting = [(model.waiting_since_s, model) for model in self._models.values()]
        if len(waiting) > 1:
            waiting.sort(key=itemgetter(0))
        for since_s, model in waiting:
            if since_s >= before_s:
                return None
            step = model.scheduler.next_step()
            if step is not None:
                stages_s = tuple([one.of(step.num_tokens, step.num_kv_tokens) for one in model.costs.times])
                return ModelStep(model.name, step, stages_s)
        return None

    def _is_late(self, model: _Model, request: Request, now_s: float) -> bool:
        """Whether it misses an objective even alone, with what it finds in the cache now."""
        costs, overhead_s = model.costs, self._overhead_s
        if not costs.is_late_alone(request, now_s, overhead_s=overhead_s):
            return False
        num_hit = model.scheduler.num_matched(request)
        return not num_hit or costs.is_late_alone(request, now_s, overhead_s=overhead_s, num_hit=num_hit)
