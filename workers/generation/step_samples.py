"""What steps of a model take on its devices: requests served by the group's own shell, a clock beside them.

The simulator adds nothing to a step, so a step's time has all in it that a group does from one to the next:
deciding, books, packing, the stages, drawing, threads and callbacks. Hence no steps made up for the purpose,
but those of the real scheduler and engine, with crowds of requests.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from scheduling.group import GroupScheduler
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy, Workload
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.numpy_tensors import tensor_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.prefix_hashes import first_hash, page_hashes
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.sampling import Sampling
from vocabulary.units import NEVER_S
from workers.frames import Done, Frame, GenerationAsk, Run, tensor_headers
from workers.generation.model import GeneratingModel
from workers.generation.step_clock import StepMarks, TimedEngine, stage_times_s
from workers.generation.step_traffic import Lengths, drawn_crowds
from workers.jax_engine import JaxEngine
from workers.link import memory_pair
from workers.server import GroupServer
from workers.spec import WorkerSpec

# The same step comes once a round, and counts with this quantile of its times. A lower one tells steps better
# where others keep the machine busy in most rounds (a load of 12 on 2 cores: R2 0.94 with 0.1, 0.91 with the
# median), but is too hopeful for service, and on a quiet machine the median is best (0.96, lower ones 0.92).
QUANTILE = 0.5
# A step that came less often says little.
_LEAST_TIMES = 2
_SALT = "profile"
# What is believed of steps decides nothing where nobody is refused.
_BELIEVED = StepTimes(0.01, 0.0001)


@dataclass(frozen=True, slots=True)
class StepSample:
    """One step: tokens computed, tokens of its sequences in the cache before, seconds of each stage."""

    num_tokens: int
    num_kv_tokens: int
    stages_s: tuple[float, ...]


def measured_steps(
    model: GeneratingModel, spec: ModelSpec, config: ParallelConfig, *, num_rounds: int = 5, seed: int = 0
) -> tuple[StepSample, ...]:
    """Steps of drawn crowds of requests, each served `num_rounds` times after one that does not count.

    A slow minute of the machine hits one round, not one kind of step. model: compiled, whole in this process.
    Blocks, on an event loop of its own.
    """
    workload = spec.workload or Workload(0.0)
    crowds = drawn_crowds(model.limits, workload, max_model_len=model.max_model_len, seed=seed)
    return typical_steps(asyncio.run(_measured(model, spec, config, crowds, num_rounds)))


def typical_steps(rounds: Sequence[Sequence[StepMarks]]) -> tuple[StepSample, ...]:
    """Steps that came in several rounds, or several times in one, each with the median of its times.

    Steps are alike that compute as many tokens with as many in the cache: with one stage the machine decides
    the same in every round; with several a few steps differ.
    """
    alike: dict[tuple[int, int], list[tuple[float, ...]]] = defaultdict(list)
    for steps in rounds:
        for step, stages_s in zip(steps, stage_times_s(steps), strict=True):
            alike[step.num_tokens, step.num_kv_tokens].append(stages_s)
    return tuple(
        StepSample(*counts, tuple(np.quantile(seen_s, QUANTILE, axis=0).tolist()))
        for counts, seen_s in alike.items()
        if len(seen_s) >= min(_LEAST_TIMES, len(rounds))
    )


@final
class _Crowd:
    """Sends requests to a group, and waits until all are answered."""

    def __init__(self, model: str, vocab_size: int, limits: GenerationLimits) -> None:
        self._model = model
        self._vocab_size = vocab_size
        self._limits = limits
        self._random = np.random.default_rng(0)
        self._left: set[int] = set()
        self._num_sent = 0
        self._answered = asyncio.Event()

    def receive(self, frame: Frame) -> None:
        """A frame of the group's."""
        if isinstance(frame.header, Done):
            assert not frame.header.error, frame.header
            self._left.remove(frame.header.request_id)
            if not self._left:
                self._answered.set()

    async def serve(self, server: GroupServer, crowd: Sequence[Lengths]) -> None:
        now_s = asyncio.get_running_loop().time()
        frames = [self._frame(lengths, now_s) for lengths in crowd]
        self._answered.clear()
        for frame in frames:
            server.receive(frame)
        await self._answered.wait()

    def _frame(self, lengths: Lengths, now_s: float) -> Frame:
        number, self._num_sent = self._num_sent, self._num_sent + 1
        self._left.add(number)
        token_ids = self._random.integers(0, self._vocab_size, size=lengths.num_prompt).astype(np.int32)
        tensors = (tensor_of("input_ids", token_ids),)
        sampling = Sampling(temperature=0.0, ignores_eos=True)
        # Nobody's prompt is in the cache of prefixes, and all are put there, as in service.
        first, blocks = None, ()
        if self._limits.has_prefix_cache:
            first = first_hash(_SALT)
            blocks = page_hashes(token_ids, page_tokens=self._limits.page_tokens, salt=_SALT)
        ask = GenerationAsk(
            lengths.num_answer, lengths.num_answer, 1, sampling, NEVER_S, NEVER_S, "", first, blocks
        )
        run = Run(number, self._model, now_s, NEVER_S, NEVER_S, tensor_headers(tensors), ask)
        return Frame(run, tensors)


async def served_rounds(
    engine: TimedEngine, spec: WorkerSpec, crowds: Sequence[Sequence[Lengths]], *, num_rounds: int
) -> list[list[StepMarks]]:
    """Steps of every round in which a group of one model serves the crowds, one after the other.

    One round more comes first and does not count. engine: of the group that `spec` says, ready.
    """
    (model,) = spec.group.models
    interface = engine.interfaces()[model].generation
    assert interface is not None, model
    crowd = _Crowd(model, interface.vocab_size, spec.limits[model])
    loop = asyncio.get_running_loop()
    machine = GroupScheduler(
        spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
    )
    page_tokens = {name: one.page_tokens for name, one in spec.limits.items()}
    server = GroupServer(machine, engine, loop=loop, soon=loop.call_soon, page_tokens=page_tokens)
    _, up = memory_pair(crowd.receive, server.receive)
    server.attach(up)
    rounds = []
    for _ in range(1 + num_rounds):
        engine.steps = []
        for lengths in crowds:
            await crowd.serve(server, lengths)
            await asyncio.sleep(0)  # the last step is written down after its answers went
        rounds.append(engine.steps)
    return rounds[1:]


def group_alone(
    spec: ModelSpec, config: ParallelConfig, limits: GenerationLimits, times: Sequence[StepTimes]
) -> WorkerSpec:
    """A group with this model alone, where nobody is refused. times: what is believed of a step's stages."""
    stages = config.pipeline
    entry = ProfileEntry(
        config, (0,) * stages, {1: (0,) * stages}, {1: (0.1,) * stages}, step_times=tuple(times)
    )
    profile = profile_of(spec.name, "here", [entry], provenance=Provenance("estimated"))
    devices = tuple(f"here-0:{index}" for index in range(config.num_devices))
    return WorkerSpec(
        group=Group("profiled", devices, config, (spec.name,)),
        models=(spec,),
        catalog=Catalog({spec.name: profile}),
        policy=Policy(admission="none"),
        engine="jax",
        platform="cpu",
        source_folder="",
        key="",
        socket_path="",
        limits={spec.name: limits},
    )


async def _measured(
    model: GeneratingModel,
    spec: ModelSpec,
    config: ParallelConfig,
    crowds: Sequence[Sequence[Lengths]],
    num_rounds: int,
) -> list[list[StepMarks]]:
    loop = asyncio.get_running_loop()
    worker = group_alone(spec, config, model.limits, (_BELIEVED,) * config.pipeline)
    jax_engine = JaxEngine(worker, loop=loop, stage_ended=lambda *ended: engine.stage_ended(*ended))
    engine = TimedEngine(jax_engine, num_stages=config.pipeline, loop=loop)
    jax_engine.take({spec.name: model})
    try:
        return await served_rounds(engine, worker, crowds, num_rounds=num_rounds)
    finally:
        engine.close()
