"""The measures of benchmarks/simulator.py: what is run, what it is held against."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.simulator_cases import W3, W5, Case, pipelines, published, write_files
from simulator.fast import Scorer
from simulator.lanes import LaneScorer

MILLION, GIB = 1_000_000, 2**30
NUM_REQUESTS = MILLION
# Two threads take sixteen candidates each, twice.
NUM_CANDIDATES = 64
# Small traces are scored this many times a sample: once takes a fifth of a millisecond.
NUM_REPEATS = 50
# What the artifact's own code does, medians on two cores: its evaluator scores a placement from a workload.
ARTIFACT_W3 = {"mp-search": 14.46 * MILLION, "sr-greedy": 6.27 * MILLION}
ARTIFACT_W5 = {"mp-search": 9.6 * MILLION, "mp-search-sep": 17.7 * MILLION}
ARTIFACT_EVENTS = 2_040
RATE, SECONDS, MEMORY = "requests/s", "s", "GiB"


@dataclass(frozen=True, slots=True)
class Took:
    """By the clock, and by the processors: the second leaves out what others took of a shared machine."""

    wall_s: float
    cpu_s: float

    def rate(self, num_requests: int) -> tuple[float, float]:
        return num_requests / self.wall_s, num_requests / self.cpu_s


@dataclass
class Measure:
    """One line of the table. `bar` is at least for rates, below for seconds and memory.

    cpu_samples: the same by processor time instead of the clock; nothing for memory.
    """

    name: str
    unit: str = RATE
    bar: float | None = None
    artifact: float | None = None
    samples: list[float] = field(default_factory=list)
    cpu_samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def cpu_median(self) -> float | None:
        return median(self.cpu_samples) if self.cpu_samples else None

    @property
    def is_met(self) -> bool | None:
        if self.bar is None:
            return None
        return self.median >= self.bar if self.unit == RATE else self.median < self.bar


@dataclass
class Probe:
    """Something that is run, and what one run gives: values by the clock and by the processors, or one.

    is_own_process: it starts anew every time, so that a first run outside the rounds would warm nothing.
    """

    run: Callable[[], tuple[tuple[float, ...], ...]]
    measures: tuple[Measure, ...]
    is_own_process: bool = False

    def sample(self) -> None:
        for measure, (value, *by_cpu) in zip(self.measures, self.run(), strict=True):
            measure.samples.append(value)
            measure.cpu_samples += by_cpu


def probes(folder: Path, *, data: Path | None, is_long: bool) -> Iterator[Probe]:
    """All, in the order of a round; `folder` is for the command line's files."""
    yield from _lanes()
    yield from _scalar(data)
    yield from _hundred_million()
    yield from _command_line(folder)
    if data is not None:
        yield from _events(data, is_long=is_long)


def _lanes() -> Iterator[Probe]:
    for num_holders, bar in ((4, 150 * MILLION), (8, None), (16, None)):
        case = pipelines(NUM_REQUESTS, num_holders=num_holders, num_contents=NUM_CANDIDATES)
        for num_threads in (1, 2):
            threads = f"{num_threads} thread{'s'[: num_threads - 1]}"
            name = f"lanes, {num_holders} holders, {threads} (candidate-requests)"
            least = None if bar is None else num_threads * bar
            yield Probe(partial(_lanes_rate, case, num_threads), (Measure(name, bar=least),))


def _scalar(data: Path | None) -> Iterator[Probe]:
    for num_holders in (4, 8):
        case = pipelines(NUM_REQUESTS, num_holders=num_holders)
        bar = 30 * MILLION if num_holders == 4 else None
        measure = Measure(f"one placement with set-up, 1 M requests, {num_holders} holders", bar=bar)
        yield Probe(partial(_scalar_rate, case, 1), (measure,))
    if data is None:
        return
    bars = {"mp-search": 29 * MILLION, "sr-greedy": 12.6 * MILLION}
    for workload, figures in ((W3, ARTIFACT_W3), (W5, ARTIFACT_W5)):
        for algorithm, artifact in figures.items():
            case = published(data, workload, algorithm)
            bar = bars[algorithm] if workload == W3 else None
            name = f"one placement with set-up, {workload[:2]} {algorithm}"
            yield Probe(
                partial(_scalar_rate, case, NUM_REPEATS), (Measure(name, bar=bar, artifact=artifact),)
            )


def _hundred_million() -> Iterator[Probe]:
    rate = Measure("one placement, 100 M requests on 32 devices (process)")
    memory = Measure("its peak memory, trace included", MEMORY, bar=4.0)
    yield Probe(partial(_child, 100 * MILLION, "count", 100 * MILLION), (rate, memory), True)


def _command_line(folder: Path) -> Iterator[Probe]:
    write_files(folder, pipelines(NUM_REQUESTS))
    for kind, bar in (("parquet", 1.5), ("csv", None)):
        name = f"statmux simulate, 1 M rows of {kind}, warm (process)"
        _simulate(folder, kind)
        yield Probe(partial(_simulate, folder, kind), (Measure(name, SECONDS, bar=bar),), True)
    name = "statmux simulate, 1 M rows of parquet, nothing compiled yet (process)"
    yield Probe(partial(_simulate_cold, folder), (Measure(name, SECONDS),), True)


def _events(data: Path, *, is_long: bool) -> Iterator[Probe]:
    name = "event simulator, w3 mp-search (process)"
    once = Measure(name, bar=50_000, artifact=ARTIFACT_EVENTS)
    num_once = len(published(data, W3, "mp-search").trace)
    memory = Measure("its peak memory", MEMORY)
    yield Probe(partial(_child, num_once, "events", data, num_once), (once, memory), True)
    for num_requests in (10_000, 100_000, MILLION, *([10 * MILLION] * is_long)):
        rate = Measure(f"event simulator, w3 mp-search over and over, {num_requests:,} requests (process)")
        memory = Measure("its peak memory", MEMORY)
        yield Probe(partial(_child, num_requests, "events", data, num_requests), (rate, memory), True)


def _lanes_rate(case: Case, num_threads: int) -> tuple[tuple[float, float]]:
    contents = case.contents[: NUM_CANDIDATES * num_threads // 2]

    def work() -> None:
        scorer = LaneScorer(case.trace, deployment=case.deployment)
        scorer.tallies(case.layout, contents, num_threads=num_threads)

    return (_timed(work).rate(len(contents) * len(case.trace)),)


def _scalar_rate(case: Case, num_times: int) -> tuple[tuple[float, float]]:
    def work() -> None:
        for _ in range(num_times):
            Scorer(case.trace, deployment=case.deployment).tally(case.layout, case.contents[0])

    return (_timed(work).rate(num_times * len(case.trace)),)


def _child(num_requests: int, *words: object) -> tuple[tuple[float, float], tuple[float]]:
    """Requests per second, and GiB."""
    command = [sys.executable, "-m", "benchmarks.simulator_child", *map(str, words)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Took(found["wall_s"], found["cpu_s"]).rate(num_requests), (found["peak_bytes"] / GIB,)


def _simulate(folder: Path, kind: str, **environment: str) -> tuple[tuple[float, float]]:
    words = ("simulate", "deployment.yaml", "--plan", "plan.yaml", "--trace", f"trace.{kind}", "-o", "json")
    command = [sys.executable, "-P", "-m", "statmux.main", *words]
    root = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment
    answers = []

    def work() -> None:
        answers.append(subprocess.run(command, cwd=folder, env=root, check=True, stdout=subprocess.PIPE))

    took = _timed(work)
    assert json.loads(answers[0].stdout)["num_requests"] == NUM_REQUESTS
    return ((took.wall_s, took.cpu_s),)


def _simulate_cold(folder: Path) -> tuple[tuple[float, float]]:
    """Every time with a new, empty cache."""
    cache = folder / f"cache-{perf_counter()}"
    return _simulate(folder, "parquet", NUMBA_CACHE_DIR=str(cache))


def _timed(work: Callable[[], None]) -> Took:
    """Of all threads, and of processes that have ended."""
    start_s, cpu_start_s = perf_counter(), _cpu_s()
    work()
    return Took(perf_counter() - start_s, _cpu_s() - cpu_start_s)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
