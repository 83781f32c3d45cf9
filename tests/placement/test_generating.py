"""Models that generate beside models that do not: what is placed, and by what it is judged."""

from __future__ import annotations

import numpy as np

from placement.memory import Memory
from placement.search import search
from simulator.simulate import simulate
from vocabulary.deployment import Deployment, ModelSpec, Slo, Workload
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.least_cache import least_cache_bytes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Tokens, Trace

CONFIGS = (ParallelConfig(1, 1), ParallelConfig(1, 2))
GB = 10**9


def model(name: str, *, weight_bytes: int, generates: bool, **more: object) -> ModelSpec:
    """A tenth of a second's work a request; a step of 10 ms, 100 kB of cache a token."""
    entries = [
        ProfileEntry(
            config,
            (weight_bytes // config.pipeline,) * config.pipeline,
            {},
            {1: (0.1 / config.pipeline,) * config.pipeline},
            step_times=(StepTimes(0.01 / config.pipeline, 1e-5, 1e-8),) * config.pipeline
            if generates
            else (),
            kv_bytes_per_token=(100_000 // config.pipeline,) * config.pipeline if generates else (),
        )
        for config in CONFIGS
    ]
    return ModelSpec(name, profile=profile_of(name, "d", entries, provenance=Provenance("imported")), **more)


def fleet(memory_bytes: int, *, num_devices: int = 4) -> Deployment:
    chat = model(
        "chat",
        weight_bytes=6 * GB,
        generates=True,
        slo=Slo(20.0, ttft_s=0.5, tpot_s=0.05),
        workload=Workload(4.0, 1.0, input_tokens=2_000, output_tokens=500),
    )
    embed = model("embed", weight_bytes=GB, generates=False, slo=Slo(0.5), workload=Workload(4.0, 1.0))
    cluster = Cluster((NodeClass("n", 1, "d", num_devices, memory_bytes),))
    return Deployment("both", cluster, (chat, embed))


def arrivals(num: int = 200) -> Trace:
    random = np.random.default_rng(1)
    index = (np.arange(num) % 2).astype(np.int32)
    outputs = np.where(index == 0, random.integers(20, 200, size=num), 0)
    tokens = Tokens(random.integers(50, 800, size=num).astype(np.int32), outputs.astype(np.int32))
    return Trace(np.cumsum(random.exponential(0.12, size=num)), index, ("chat", "embed"), tokens)


def test_a_place_has_room_for_weights_and_for_some_requests() -> None:
    chat = fleet(8 * GB).model("chat")
    # 2,500 tokens a mean request, 4 of them, 100 kB each.
    assert least_cache_bytes(chat, CONFIGS[0]) == (GB,)
    assert least_cache_bytes(chat, CONFIGS[1]) == (GB // 2, GB // 2)
    told = model("chat", weight_bytes=GB, generates=True, generation=GenerationSettings(num_pages=10))
    assert least_cache_bytes(told, CONFIGS[0]) == (10 * 16 * 100_000,)
    assert least_cache_bytes(fleet(8 * GB).model("embed"), CONFIGS[1]) == (0, 0)


def test_memory_counts_the_cache() -> None:
    deployment = fleet(7 * GB - 1)
    memory = Memory(deployment, deployment.catalog())
    assert memory.needed(CONFIGS[0])[:, 0].tolist() == [7 * GB, GB]


def test_a_model_whose_weights_fit_without_a_cache_is_split() -> None:
    deployment = fleet(7 * GB - 1)
    placement = search(deployment, arrivals()).placement
    assert {group.config for group in placement.groups if "chat" in group.models} == {CONFIGS[1]}
    for group in placement.groups:
        for limits in generation_limits(group, deployment).values():
            assert limits.num_pages * limits.page_tokens >= 10_000


def test_language_models_and_encoders_share_a_fleet_that_keeps_their_objectives() -> None:
    deployment, trace = fleet(16 * GB), arrivals()
    placement = search(deployment, trace).placement
    assert placement.models == {"chat", "embed"}
    outcomes = simulate(placement, trace, deployment=deployment)
    assert outcomes.good.mean() > 0.95
    assert outcomes.first_token_s is not None
