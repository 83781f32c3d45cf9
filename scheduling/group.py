"""The group machine: queue, batch, start the next batch when the first stage frees, settle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import attrgetter
from typing import assert_never, final

from scheduling.generation import GenerationScheduler
from scheduling.generation_models import GeneratingModels, ModelStep
from scheduling.one_shot_models import OneShotModels
from scheduling.pipeline import PipelineClock
from vocabulary.catalog import Catalog
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import (
    Arrived,
    Batch,
    BatchFinished,
    Cancelled,
    GroupCommand,
    GroupEvent,
    RunBatch,
    Settle,
    StageFreed,
)
from vocabulary.placement import Group
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S


@final
class GroupScheduler:
    """Decides for one device group; settles every request it hears of once (`scheduling.machine`)."""

    def __init__(
        self,
        group: Group,
        *,
        catalog: Catalog,
        policy: Policy,
        limits: Mapping[str, GenerationLimits] | None = None,
        tells_pages: bool = False,
    ) -> None:
        """limits: of the models that generate; requests of others are one-shot whatever they ask for.

        tells_pages: batches of those say which pages their sequences hold and what moves, for a real engine.
        """
        self._group = group
        self._policy = policy
        self._tells_pages = tells_pages
        self._clock = PipelineClock(group.config.pipeline)
        self._one_shot = OneShotModels(
            group.models, config=group.config, catalog=catalog, policy=policy, clock=self._clock
        )
        self._generating = self._generating_models(limits, catalog=catalog) if limits else None
        self._running: dict[int, Batch] = {}
        self._num_batches = 0
        self._is_stage_free = True
        self._finished: list[BatchFinished] = []
        self._cancelled: list[int] = []

    def observe(self, event: GroupEvent) -> None:
        match event:
            case Arrived(request):
                if self._generating is not None and self._generating.takes(request):
                    self._generating.push(request)
                    return
                self._one_shot.push(request)
            case StageFreed():
                self._is_stage_free = True
            case BatchFinished():
                self._finished.append(event)
            case Cancelled(request_id):
                self._cancelled.append(request_id)
            case _:
                assert_never(event)

    def decide(self, now_s: float) -> list[GroupCommand]:
        commands: list[GroupCommand] = []
        if self._finished:
            commands += self._settle_finished(now_s)
        if self._cancelled:
            commands += self._settle_cancelled()
        if self._generating is not None:
            commands += self._generating.settle_refused()
        if self._is_stage_free:
            commands += self._start_next(now_s)
        return commands

    @property
    def wake_s(self) -> float:
        return NEVER_S

    @property
    def num_waiting(self) -> int:
        """Requests that nothing has been computed for, or that were preempted."""
        return len(self._one_shot) + (self._generating.num_waiting().total() if self._generating else 0)

    @property
    def num_running(self) -> int:
        """Requests in batches, and sequences that hold pages."""
        one_shot = sum(batch.size for batch in self._running.values() if not batch.tokens)
        return one_shot + (self._generating.num_running if self._generating else 0)

    @property
    def generation_statistics(self) -> Mapping[str, GenerationStatistics]:
        """Of each model that generates here."""
        return self._generating.statistics if self._generating else {}

    @property
    def generation_schedulers(self) -> Mapping[str, GenerationScheduler]:
        """Of each model that generates here; to look at."""
        return self._generating.schedulers if self._generating else {}

    @property
    def models(self) -> tuple[str, ...]:
        """All that it takes requests of."""
        return self._one_shot.names

    def has(self, model: str) -> bool:
        """Whether it takes requests of the model."""
        return model in self._one_shot

    def add_model(self, model: str, *, catalog: Catalog, limits: GenerationLimits | None = None) -> None:
        """It takes requests of one model more. limits: if that generates."""
        self._one_shot.add(model, catalog=catalog)
        if limits is not None and self._generating is None:
            self._generating = self._generating_models({}, catalog=catalog)
        if limits is not None and self._generating is not None:
            self._generating.add(model, limits, catalog=catalog)

    def remove_model(self, model: str) -> None:
        """It takes no more requests of the model, of which none waits or runs."""
        assert all(batch.model != model for batch in self._running.values()), model
        self._one_shot.remove(model)
        if self._generating is not None:
            self._generating.remove(model)

    def backlog_s(self, now_s: float) -> float:
        """How long its busiest stage needs for all that is here, by the profiles; O(n): for heartbeats."""
        running_s = [free_s - now_s if self._running else 0.0 for free_s in self._clock.free_s]
        waiting = self._one_shot.backlog_s()
        steps = self._generating.backlog_s() if self._generating is not None else []
        return max(
            max(running, 0.0) + sum(one[stage] for one in (*waiting, *steps))
            for stage, running in enumerate(running_s)
        )

    def waiting_by_model(self) -> Counter[str]:
        waiting = self._one_shot.num_waiting()
        if self._generating is not None:
            waiting.update(self._generating.num_waiting())
        return waiting

    def _generating_models(
        self, limits: Mapping[str, GenerationLimits], *, catalog: Catalog
    ) -> GeneratingModels:
        return GeneratingModels(
            self._group, limits, catalog=catalog, policy=self._policy, tells_pages=self._tells_pages
        )

    def _settle_finished(self, now_s: float) -> list[GroupCommand]:
        finished, self._finished = self._finished, []
        if len(finished) > 1:
            finished.sort(key=attrgetter("batch_id"))
        commands: list[GroupCommand] = []
        for event in finished:
            batch = self._running.pop(event.batch_id)
            if batch.tokens and self._generating is not None:
                commands += self._generating.finish(event, now_s)
                continue
            fate = Fate.FAILED if event.failed else Fate.SERVED
            commands.append(Settle(tuple([request.id for request in batch.requests]), fate))
        return commands

    def _settle_cancelled(self) -> list[GroupCommand]:
        """Waiting requests go at once; one that runs is settled with its batch."""
        cancelled, self._cancelled = sorted(set(self._cancelled)), []
        gone = tuple(request_id for request_id in cancelled if self._forget(request_id))
        return [Settle(gone, Fate.CANCELLED)] if gone else []

    def _forget(self, request_id: int) -> bool:
        """Remove a request that is in no batch."""
        if self._generating is not None and self._generating.cancel(request_id):
            return True
        return self._one_shot.drop(request_id)

    def _start_next(self, now_s: float) -> list[GroupCommand]:
        commands: list[GroupCommand] = []
        self._believe_what_is_seen(now_s)
        late = self._one_shot.pop_late(now_s)
        if late:
            commands.append(Settle(late, Fate.SLO_INFEASIBLE))
        head = self._one_shot.head()
        if self._generating is not None:
            commands += self._generating.settle_late(now_s)
            # What has waited longest goes next: one-shot heads since they came.
            started = self._generating.next_step(NEVER_S if head is None else head.arrival_s)
            if started is not None:
                commands.append(RunBatch(self._take_step(started, now_s)))
                return commands
        if head is not None:
            commands.append(RunBatch(self._take_batch(head, now_s)))
        return commands

    def _believe_what_is_seen(self, now_s: float) -> None:
        """The first stage is free now, and all are when nothing runs, whatever was predicted."""
        if self._running:
            self._clock.first_idle_by(now_s)
        else:
            self._clock.idle_by(now_s)

    def _take_batch(self, head: Request, now_s: float) -> Batch:
        taken = self._one_shot.take(head, now_s)
        self._clock.occupy(now_s, taken.stages_s)
        return self._run(Batch(self._num_batches, taken.model, taken.requests))

    def _take_step(self, started: ModelStep, now_s: float) -> Batch:
        assert self._generating is not None
        self._clock.occupy(now_s, started.stages_s)
        return self._run(self._generating.start(self._num_batches, started))

    def _run(self, batch: Batch) -> Batch:
        self._num_batches += 1
        self._running[batch.id] = batch
        self._is_stage_free = False
        return batch
