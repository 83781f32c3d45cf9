"""Where prompts go among replicas, and what they find in the cache there: four replicas of one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow.parquet

from simulator.simulate import simulate
from simulator.traffic.chat import Chat, LogNormal, converse
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Tokens, Trace

ROUTERS = ("round_robin", "least_loaded", "shortest_expected_delay", "prefix_affinity")
NUM_REPLICAS = 4
# About Llama 2 7B on one A100 (benchmarks/generation_simulator.py).
TIMES = StepTimes(0.008, 4e-5, 2.5e-7)
MODEL = "chat"


@dataclass(frozen=True, slots=True)
class Routed:
    """hit_rate: of all prompt tokens; ttft, finish: from arrival; largest_share: of the requests, what the
    busiest replica got; cpu_s: of the simulation."""

    workload: str
    router: str
    num_requests: int
    hit_rate: float
    ttft_mean_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    finish_mean_s: float
    largest_share: float
    cpu_s: float


def sessions(*, rate_rps: float, duration_s: float, seed: int) -> Trace:
    """Conversations of six turns on average; four in five begin with one of fifty system prompts."""
    chat = Chat(
        mean_turns=6.0,
        prompt=LogNormal(150.0, 1.0),
        num_system_prompts=50,
        system=LogNormal(600.0, 0.5),
        system_share=0.8,
        think_s=15.0,
        num_clients=50,
    )
    return converse({MODEL: rate_rps}, chat=chat, duration_s=duration_s, seed=seed).trace


def skewed(*, rate_rps: float, duration_s: float, seed: int) -> Trace:
    """Single questions after one of eight long system prompts, more than a third of them after the first."""
    chat = Chat(
        mean_turns=1.0,
        prompt=LogNormal(150.0, 1.0),
        num_system_prompts=8,
        system=LogNormal(2000.0, 0.3),
        system_share=1.0,
        num_clients=50,
    )
    return converse({MODEL: rate_rps}, chat=chat, duration_s=duration_s, seed=seed).trace


def strangers(*, rate_rps: float, duration_s: float, seed: int) -> Trace:
    """Nobody begins as anybody else: what affinity costs where it can give nothing."""
    chat = Chat(mean_turns=1.0, prompt=LogNormal(1200.0, 1.0), system_share=0.0, num_clients=50)
    return converse({MODEL: rate_rps}, chat=chat, duration_s=duration_s, seed=seed).trace


def mooncake(data: Path, *, part: str = "conversation", most: int | None = None) -> Trace:
    """Long documents talked about, as they came (the first `most`); equal times are kept in order."""
    rows = pyarrow.parquet.read_table(data / "traces" / "mooncake_fast25" / f"{part}_trace.parquet")[:most]
    blocks = rows["hash_ids"].combine_chunks()
    starts = blocks.offsets.to_numpy().astype(np.int64)
    tokens = Tokens(
        rows["input_tokens"].to_numpy().astype(np.int32),
        rows["output_tokens"].to_numpy().astype(np.int32),
        starts - starts[0],
        blocks.values.to_numpy()[starts[0] : starts[-1]].astype(np.int64),
    )
    arrival_s = rows["t"].to_numpy().astype(float)
    return Trace(arrival_s, np.zeros(len(arrival_s), dtype=np.int32), (MODEL,), tokens)


def route(
    trace: Trace,
    *,
    workload: str,
    router: str,
    num_pages: int = 6000,
    max_batched_tokens: int = 1024,
    num_replicas: int = NUM_REPLICAS,
    queue: str = "fcfs",
    eviction: str = "lru",
) -> Routed:
    """The trace on the replicas, and what came of it."""
    deployment = fleet(
        router, num_pages=num_pages, max_batched_tokens=max_batched_tokens, queue=queue, eviction=eviction
    )
    placement = Placement(
        tuple(
            Group(f"g{index}", (f"n-0:{index}",), ParallelConfig(), (MODEL,)) for index in range(num_replicas)
        )
    )
    begin_s = process_time()
    outcomes = simulate(placement, trace, deployment=deployment)
    cpu_s = process_time() - begin_s
    assert outcomes.first_token_s is not None
    assert outcomes.generation is not None
    assert trace.tokens is not None
    served = outcomes.served
    ttft_s = (outcomes.first_token_s - trace.arrival_s)[served]
    shares = np.bincount(outcomes.group_index[served], minlength=num_replicas) / served.sum()
    return Routed(
        workload,
        router,
        int(served.sum()),
        outcomes.generation[MODEL].num_hit / int(trace.tokens.input_tokens[served].sum()),
        float(ttft_s.mean()),
        float(np.percentile(ttft_s, 50)),
        float(np.percentile(ttft_s, 99)),
        float((outcomes.finish_s - trace.arrival_s)[served].mean()),
        float(shares.max()),
        cpu_s,
    )


def fleet(
    router: str, *, num_pages: int, max_batched_tokens: int, queue: str = "fcfs", eviction: str = "lru"
) -> Deployment:
    settings = GenerationSettings(
        num_pages=num_pages, max_batched_tokens=max_batched_tokens, max_sequences=128, eviction=eviction
    )
    entry = ProfileEntry(ParallelConfig(), (1,), {}, {1: (1.0,)}, (TIMES,), (1,))
    profile = profile_of(MODEL, "cpu", [entry], provenance=Provenance("estimated"))
    return Deployment(
        "fleet",
        Cluster((NodeClass("n", 1, "cpu", 64, 2**30),)),
        (ModelSpec(MODEL, profile=profile, generation=settings),),
        Policy(router=router, queue=queue, admission="none"),
        LatencyModel(fixed_overhead_s=0.0),
    )
