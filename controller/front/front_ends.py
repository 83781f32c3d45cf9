"""The fleet's further front ends: started, told, started again when they die, drained and ended with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, final

import msgspec
import structlog

from controller.front.front_process import END_S, FrontProcess, FrontState
from controller.front.roster import FrontRoster
from controller.front.words import Adopt, Close, Drain, GiveUp, Leave, Start, Totals
from controller.journal import AbstractJournal, RequestLine
from controller.life.members import Members
from controller.metrics import Judged
from controller.waiting_room import Demand
from vocabulary.deployment import Deployment
from vocabulary.steps import RestartPolicy
from workers.spec import Address

_log = structlog.get_logger("statmux.controller")


@final
class FrontEnds:
    """`roster` is what the supervisor tells of groups. With no further front ends all of it does nothing."""

    def __init__(
        self,
        num_further: int,
        *,
        members: Members,
        next_front: Callable[[], int],
        journal: AbstractJournal,
        restarts: RestartPolicy,
        clock: Callable[[], float],
        answered: Callable[[RequestLine], None],
        demand: Demand,
    ) -> None:
        """next_front: a number that no front end had while the workers live. restarts: of one that dies.

        answered: hears of each request that they have answered. demand: who loads models on demand.
        """
        self.roster = FrontRoster(self._say, address_of=lambda index: _address_of(members, index))
        self._num_further = num_further
        self._next_front = next_front
        self._journal = journal
        self._restarts = restarts
        self._clock = clock
        self._answered = answered
        self._demand = demand
        self._processes: dict[int, FrontProcess] = {}
        # Of those that died: what they had answered still counts.
        self._past: dict[str, Totals] = {}
        self._problems: dict[int, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._said: list[msgspec.Struct] = []
        self._is_ending = False

    def start(self, deployment: Deployment, *, key: str, control: str) -> None:
        """deployment: with the ports on which the fleet's process listens already."""
        loop = asyncio.get_running_loop()
        for index in range(1, self._num_further + 1):
            metrics = deployment.metrics
            own = replace(metrics, port=metrics.port and metrics.port + index)
            start = Start(replace(deployment, metrics=own, document={}), 0, index, key, control)
            self._tasks.append(loop.create_task(self._keep(index, start)))

    async def opened(self) -> None:
        """Return when each answers, or could not start."""
        for process in tuple(self._processes.values()):
            await process.opened.wait()

    def close_models(self, models: Collection[str]) -> None:
        """These, and no others, are out of service; also for one that starts later."""
        self._said = [one for one in self._said if not isinstance(one, Close)]
        self._say_for_good(Close(tuple(sorted(models))))

    def start_leaving(self) -> None:
        """Readiness goes off, also of one that starts now."""
        self._say_for_good(Leave())

    def start_draining(self) -> None:
        """Accepted calls run on, new ones are refused."""
        self._say_for_good(Drain())

    async def until_idle(self) -> None:
        """Return when all have answered their calls; after `start_draining`."""
        for process in tuple(self._processes.values()):
            await process.idle.wait()

    @property
    def num_pending(self) -> int:
        return sum(process.num_pending for process in self._processes.values())

    def totals(self, model: str) -> Totals:
        """What they have answered of it, with those that died."""
        totals = self._past.get(model, Totals())
        for process in self._processes.values():
            totals += process.totals.get(model, Totals())
        return totals

    def added_to(self, status: Mapping[str, Any], judged: Callable[[str], Judged]) -> dict[str, Any]:
        """The status of the fleet's own process with theirs. judged: what that counted of a model."""
        if not self._num_further:
            return dict(status)
        models = {name: self._added(name, one, judged(name)) for name, one in status["models"].items()}
        problems = [f"front end {index} {words}" for index, words in sorted(self._problems.items())]
        return {
            **status,
            "state": "degraded" if problems and status["state"] == "ready" else status["state"],
            "num_pending": status["num_pending"] + self.num_pending,
            "problems": [*status["problems"], *problems],
            "models": models,
            "front_ends": [self._described(index, one) for index, one in sorted(self._processes.items())],
        }

    async def close(self) -> None:
        """End all, and wait until they have ended."""
        self._is_ending = True
        for process in self._processes.values():
            process.end()
        for task, process in self._running:
            if process.state is FrontState.ENDED:  # it waits to be started again
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_S)
        for process in self._processes.values():
            process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _running(self) -> list[tuple[asyncio.Task[None], FrontProcess]]:
        return [(self._tasks[index - 1], process) for index, process in self._processes.items()]

    async def _keep(self, index: int, start: Start) -> None:
        """Run it, and again when it died, as often as groups are started again."""
        deaths: deque[float] = deque()
        while not self._is_ending:
            front = self._next_front()
            numbered = msgspec.structs.replace(start, front=front)
            process = FrontProcess(
                numbered,
                opened=partial(self._problems.pop, index, ""),
                lines=self._write,
                asked=partial(self._ask, index),
                troubled=partial(self._hear_trouble, index),
            )
            self._processes[index] = process
            why = await process.run(self._greeting)
            self._count(process)
            if self._is_ending:
                return
            self._tell_death(index, process, why)
            self._problems[index] = f"starts again: {why}"
            deaths.append(self._clock())
            while deaths and deaths[0] < self._clock() - self._restarts.within_s:
                deaths.popleft()
            if len(deaths) > self._restarts.max_restarts:
                self._problems[index] = f"was given up after {len(deaths)} starts: {why}"
                return
            delay_s = self._restarts.backoff_s * 2 ** (len(deaths) - 1)
            await asyncio.sleep(min(delay_s, self._restarts.max_backoff_s))

    def _ask(self, index: int, model: str) -> None:
        """A front end cannot know that a model will not be loaded, and lets calls wait."""
        if self._demand.asked(model) is None:
            self._processes[index].say(GiveUp((model,)))

    def _hear_trouble(self, index: int, why: str) -> None:
        if why:
            self._problems[index] = f"did not take over all of the last change: {why}"
        else:
            self._problems.pop(index, None)

    def _greeting(self) -> list[msgspec.Struct]:
        return [*self.roster.words(), *self._said]

    def _say(self, word: msgspec.Struct) -> None:
        if isinstance(word, Adopt):
            word = Adopt(replace(word.deployment, document={}))
            self._said = [one for one in self._said if not isinstance(one, Adopt)]
            # Before groups that hold its models, also for one that starts later.
            self._said.insert(0, word)
        for process in self._processes.values():
            process.say(word)

    def _say_for_good(self, word: msgspec.Struct) -> None:
        self._said.append(word)
        for process in self._processes.values():
            process.say(word)

    def _write(self, lines: tuple[RequestLine, ...]) -> None:
        for line in lines:
            self._journal.request(line)
            self._answered(line)

    def _tell_death(self, index: int, process: FrontProcess, why: str) -> None:
        _log.error("front end lost", front_end=index, front=process.front, why=why)
        self._journal.event("front_end_lost", front_end=index, front=process.front, why=why)

    def _count(self, process: FrontProcess) -> None:
        for model, totals in process.totals.items():
            self._past[model] = self._past.get(model, Totals()) + totals
        process.totals = {}

    def _added(self, model: str, told: Mapping[str, Any], judged: Judged) -> dict[str, Any]:
        totals = self.totals(model)
        own_s = (told["mean_latency_s"] or 0.0) * told["num_served"]
        num_served = told["num_served"] + totals.num_served
        return {
            **told,
            "num_served": num_served,
            "num_failed": told["num_failed"] + totals.num_failed,
            "slo_attainment": (judged + totals.judged).attainment,
            "mean_latency_s": (own_s + totals.served_s) / num_served if num_served else None,
        }

    def _described(self, index: int, process: FrontProcess) -> dict[str, Any]:
        return {
            "index": index,
            "front": process.front,
            "state": process.state.value,
            "pid": process.pid,
            "metrics": process.metrics,
            "num_pending": process.num_pending,
            "num_served": sum(totals.num_served for totals in process.totals.values()),
        }


def _address_of(members: Members, index: int) -> Address:
    started = next(member.started for member in members if member.index == index)
    assert started is not None, index
    return started.address
