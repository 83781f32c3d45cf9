"""The simulator beside the live engine: one trace of requests for tokens, several policies, two rates.

    python -m benchmarks.generation_twin --rounds 3 --out generation_twin.json

Live: front end, scheduler and real JAX engine in this process, without sockets. Simulated: the same trace,
with step times that were fitted to the engine's steps in the same run. Objectives come from the simulation of
`fcfs` at the higher rate before anything is served (medians of its TTFT and TPOT), so that about half are
kept and policies differ. Rounds are interleaved: a round serves every policy at every rate once, with a trace
of its own. Attainment is of all requests; one that was refused keeps nothing. Then what the host does in a
step of 16 answers at a context of 512 tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.generation_twin_fleet import (
    MODEL,
    ONE,
    LiveFleet,
    Paces,
    ReadyModel,
    fitted,
    ready_model,
    served,
    simulated,
)
from benchmarks.peers.static_batches import save_llama
from vocabulary.deployment import Deployment
from vocabulary.generation import StepTimes
from vocabulary.trace import Tenants, Tokens, Trace
from workers.generation.step_clock import StepMarks, TimedEngine, stage_times_s
from workers.generation.step_samples import group_alone, served_rounds
from workers.generation.step_traffic import Lengths
from workers.jax_engine import JaxEngine

PAGE = 16
LIMITS = "max_model_len: 512, kv_cache: {num_pages: 512, block_size: 16}"
BATCHING = "batching: {{max_batch_size: 16, max_batch_tokens: {}}}"
LARGE, SMALL = 256, 64
HOST_CACHE = "kv_cache: {num_pages: 768, prefix_caching: false}"
# Name, tokens of a step, policy of the deployment.
POLICIES = {
    "fcfs": (LARGE, "queue=fcfs"),
    "edf": (LARGE, "queue=edf"),
    "vtc": (LARGE, "queue=vtc"),
    "longest_prefix": (LARGE, "queue=longest_prefix"),
    "fcfs, admission slo": (LARGE, "admission=slo"),
    "fcfs, small steps": (SMALL, "queue=fcfs"),
}
# Shares of the rate at which requests that are all there at once are answered.
RATES = {"moderate": 0.6, "overload": 1.4}
BAR_POINTS = 5.0
# From 480 tokens to 544: at 512 on average.
_HOST_LENGTHS = Lengths(480, 64)


@dataclass(frozen=True, slots=True)
class Cell:
    """Attainment of one policy at one rate in one round, in percent."""

    ttft_live: float
    ttft_simulated: float
    tpot_live: float
    tpot_simulated: float


def drawn(num_requests: int, *, rate_rps: float, seed: int) -> Trace:
    """Poisson. Six of ten prompts begin with one of four texts of 6 pages; one tenant sends seven of ten."""
    random = np.random.default_rng(seed)
    gaps_s = random.exponential(1.0 / rate_rps, size=num_requests) if rate_rps else np.zeros(num_requests)
    inputs, hashes, offsets = [], [], [0]
    for row in range(num_requests):
        text = int(random.integers(4)) if random.random() < 0.6 else -1
        own = int(random.integers(16, 200))
        blocks = [1 + text * 100 + index for index in range(6)] if text >= 0 else []
        whole = (PAGE * len(blocks) + own) // PAGE
        blocks += [10_000 + row * 100 + index for index in range(whole - len(blocks))]
        inputs.append(PAGE * 6 * (text >= 0) + own)
        hashes += blocks
        offsets.append(len(hashes))
    tokens = Tokens(
        np.array(inputs, np.int32),
        random.integers(8, 64, size=num_requests).astype(np.int32),
        np.array(offsets, np.int64),
        np.array(hashes, np.int64),
        PAGE,
    )
    tenants = Tenants(
        random.choice(4, size=num_requests, p=[0.7, 0.1, 0.1, 0.1]).astype(np.int32), ("a", "b", "c", "d")
    )
    return Trace(np.cumsum(gaps_s), np.zeros(num_requests, np.int32), (MODEL,), tokens, tenants)


def capacity_rps(ready: ReadyModel, num_requests: int) -> float:
    """Simulated, of requests that are all there at once."""
    trace = drawn(num_requests, rate_rps=0.0, seed=99)
    paces = simulated(ready.deployment(), trace)
    assert trace.tokens is not None
    ends_s = paces.ttft_s + paces.tpot_s * (trace.tokens.output_tokens - 1)
    return num_requests / float(ends_s.max())


def objectives(ready: ReadyModel, num_requests: int, rate_rps: float) -> tuple[float, float]:
    """Seconds to the first token and between tokens that the simulated fcfs keeps for half the requests."""
    found = [
        simulated(ready.deployment(), drawn(num_requests, rate_rps=rate_rps, seed=100 + seed))
        for seed in range(5)
    ]
    return (
        float(np.nanmedian(np.concatenate([one.ttft_s for one in found]))),
        float(np.nanmedian(np.concatenate([one.tpot_s for one in found]))),
    )


async def compared(
    models: Mapping[int, ReadyModel], *, num_rounds: int, num_requests: int
) -> tuple[dict[tuple[str, str], list[Cell]], dict[str, float]]:
    """Of each policy and rate, every round; and what was asked for."""
    most_rps = capacity_rps(models[LARGE], num_requests)
    slo_s = objectives(models[LARGE], num_requests, RATES["overload"] * most_rps)
    asked = {"capacity_rps": most_rps, "ttft_s": slo_s[0], "tpot_s": slo_s[1]}
    print(asked, file=sys.stderr)
    deployments = {name: _deployment(models, name, slo_s) for name in POLICIES}
    found: dict[tuple[str, str], list[Cell]] = {(name, rate): [] for rate in RATES for name in POLICIES}
    for ready in models.values():  # not counted
        await served(ready, ready.deployment(), drawn(20, rate_rps=most_rps, seed=98))
    for number in range(num_rounds):
        for rate, share in RATES.items():
            trace = drawn(num_requests, rate_rps=share * most_rps, seed=number)
            for name in sorted(POLICIES, reverse=bool(number % 2)):
                live = await served(models[POLICIES[name][0]], deployments[name], trace)
                cell = _cell(live, simulated(deployments[name], trace), slo_s)
                found[name, rate].append(cell)
                print(f"round {number + 1}, {rate}, {name}: {cell}", file=sys.stderr)
    return found, asked


def _deployment(models: Mapping[int, ReadyModel], name: str, slo_s: tuple[float, float]) -> Deployment:
    budget, policy = POLICIES[name]
    ttft_ms, tpot_ms = (1e3 * seconds for seconds in slo_s)
    return models[budget].deployment(
        f"serving.policy.{policy}",
        f"models.{MODEL}.slo={{ttft_ms: {ttft_ms:.3f}, tpot_ms: {tpot_ms:.3f}}}",
    )


def _cell(live: Paces, told: Paces, slo_s: tuple[float, float]) -> Cell:
    def kept(times_s: np.ndarray, most_s: float) -> float:
        return 100.0 * float(np.mean(np.nan_to_num(times_s, nan=np.inf) <= most_s))

    ttft_s, tpot_s = slo_s
    return Cell(
        kept(live.ttft_s, ttft_s),
        kept(told.ttft_s, ttft_s),
        kept(live.tpot_s, tpot_s),
        kept(told.tpot_s, tpot_s),
    )


def table(found: Mapping[tuple[str, str], Sequence[Cell]]) -> str:
    """Medians of rounds; the difference is the median of the rounds' differences."""
    lines = [
        "| rate | policy | TTFT live | simulated | points | TPOT live | simulated | points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, rate), cells in found.items():
        ttft, told, tpot, told_tpot = (median(getattr(one, key) for one in cells) for key in Cell.__slots__)
        points = [f"{one:+.1f}" for one in _points(cells)]
        lines.append(
            f"| {rate} | {name} | {ttft:.1f} % | {told:.1f} % | {points[0]} | {tpot:.1f} % | "
            f"{told_tpot:.1f} % | {points[1]} |"
        )
    every = [abs(one) for cells in found.values() for one in _points(cells)]
    lines += ["", f"largest {max(every):.1f} points, mean {np.mean(every):.1f} (bar {BAR_POINTS:g})"]
    return "\n".join([*lines, *_rankings(found)])


def _points(cells: Sequence[Cell]) -> tuple[float, float]:
    """Simulated less live: of TTFT and of TPOT."""
    return (
        median(one.ttft_simulated - one.ttft_live for one in cells),
        median(one.tpot_simulated - one.tpot_live for one in cells),
    )


def _rankings(found: Mapping[tuple[str, str], Sequence[Cell]]) -> list[str]:
    """Of every two policies: do both say which keeps more? A tie: apart by less than the rounds' noise."""
    lines = []
    for rate in RATES:
        for word in ("ttft", "tpot"):
            pairs = agreed = tied = 0
            for index, one in enumerate(POLICIES):
                for other in [*POLICIES][index + 1 :]:
                    live, told = (
                        _gaps(found[one, rate], found[other, rate], f"{word}_{side}")
                        for side in ("live", "simulated")
                    )
                    is_tie = min(live) <= 0 <= max(live) or min(told) <= 0 <= max(told)
                    pairs, tied = pairs + 1, tied + is_tie
                    agreed += not is_tie and median(live) * median(told) > 0
            lines.append(
                f"ranking, {rate}, {word.upper()}: {agreed} of {pairs - tied} pairs apart in every round "
                f"are in the same order, {tied} tied"
            )
    return lines


def _gaps(one: Sequence[Cell], other: Sequence[Cell], key: str) -> list[float]:
    return [getattr(a, key) - getattr(b, key) for a, b in zip(one, other, strict=True)]


@dataclass(frozen=True, slots=True)
class HostShare:
    """Median seconds of a step, and of it the share in which the stage does not work on its device."""

    step_s: float
    share: float


async def group_host_share(ready: ReadyModel) -> HostShare:
    """Of a group without a front end, as a worker process has it but for writing tokens to its socket."""
    loop = asyncio.get_running_loop()
    (model,) = ready.deployment().models
    spec = group_alone(model, ONE, ready.model.limits, (StepTimes(0.01, 0.0001),))
    jax_engine = JaxEngine(spec, loop=loop)
    jax_engine.take({MODEL: ready.model})
    engine = TimedEngine(jax_engine, num_stages=1, loop=loop)
    try:
        return _host_share(await served_rounds(engine, spec, [[_HOST_LENGTHS] * 16], num_rounds=5))
    finally:
        engine.close()


async def fleet_host_share(ready: ReadyModel) -> HostShare:
    """With front end and clients on the loop of the group, as in the comparison above."""
    fleet = LiveFleet(ready, ready.deployment())
    random = np.random.default_rng(0)
    rounds = []
    try:
        for _ in range(6):
            fleet.engine.steps = []
            prompts = random.integers(0, 250, size=(16, _HOST_LENGTHS.num_prompt)).tolist()
            await asyncio.gather(
                *(fleet.answer(tuple(prompt), _HOST_LENGTHS.num_answer) for prompt in prompts)
            )
            rounds.append(fleet.engine.steps)
        return _host_share(rounds[1:])
    finally:
        fleet.close()


def _host_share(rounds: Sequence[Sequence[StepMarks]]) -> HostShare:
    """Medians of the rounds' medians, of steps of 16 answers."""
    steps_s, shares = [], []
    for steps in rounds:
        every = zip(steps, stage_times_s(steps), strict=True)
        full = [(step.busy_s, stages_s[0]) for step, stages_s in every if step.num_tokens == 16]
        steps_s.append(median(step_s for _, step_s in full))
        shares.append(median(1 - busy_s / step_s for busy_s, step_s in full))
    return HostShare(median(steps_s), median(shares))


def _run(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if "twin" in chosen.only:
        models = {
            budget: ready_model(
                folder,
                f"steps{budget}",
                f"source: '{chosen.source}', {LIMITS}, {BATCHING.format(budget)}",
            )
            for budget in (LARGE, SMALL)
        }
        for budget, ready in models.items():
            fit = asyncio.run(fitted(ready, num_rounds=chosen.profile_rounds))
            print(f"steps of at most {budget} tokens: {fit}", flush=True)
            document[f"fit {budget}"] = asdict(fit)
        found, asked = asyncio.run(compared(models, num_rounds=chosen.rounds, num_requests=chosen.requests))
        print(f"objectives: {asked}\n\n{table(found)}")
        document |= {
            "asked": asked,
            "cells": {" | ".join(key): [asdict(one) for one in cells] for key, cells in found.items()},
        }
    if "host" in chosen.only:
        save_llama(folder / "bytes", vocab_size=257)
        ready = ready_model(
            folder,
            "bytes",
            f"source: bytes, max_model_len: 640, {BATCHING.format(LARGE)}, {HOST_CACHE}",
        )
        for words, measure in (("a group alone", group_host_share), ("and its front end", fleet_host_share)):
            found = asyncio.run(measure(ready))
            document[f"host of {words}"] = asdict(found)
            step = f"a step {1e3 * found.step_s:.2f} ms, host {found.share:.1%} (bar 10%)"
            print(f"16 answers at 512, {words}: {step}")
    return document


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--source", default="random://llama-tiny?seed=3")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--requests", type=int, default=100, help="in a round, of each policy and rate")
    options.add_argument("--profile-rounds", type=int, default=7)
    options.add_argument("--only", choices=["twin", "host"], nargs="*", default=["twin", "host"])
    options.add_argument("--out", type=Path, help="JSON of all rounds")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        document = _run(Path(name), chosen)
    if chosen.out:
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
