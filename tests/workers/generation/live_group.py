"""A group that generates with JAX, on a loop of its own, and a link that listens."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from scheduling.generation import GenerationScheduler
from scheduling.group import GroupScheduler
from tests.workers.generation.tiny_models import write_checkpoint
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.numpy_tensors import tensor_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.prefix_hashes import first_hash, page_hashes
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.sampling import GREEDY, SampledToken, Sampling
from vocabulary.tensors import Tensor
from workers.frames import Done, Frame, GenerationAsk, Header, Run, Tokens, Withdrawn
from workers.jax_engine import JaxEngine
from workers.server import GroupServer
from workers.spec import WorkerSpec

PATIENCE_S = 60.0
T = TypeVar("T")


@dataclass
class Answers:
    """All that was heard of one request. ended: set with its last frame."""

    ended: asyncio.Future[Done]
    sampled: dict[int, list[SampledToken]] = field(default_factory=lambda: defaultdict(list))
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, sample: int = 0) -> list[int]:
        return [one.token for one in self.sampled[sample]]


class ListeningLink:
    """The controller's end."""

    def __init__(self) -> None:
        self.answers: dict[int, Answers] = {}

    def send(self, header: Header, tensors: tuple[Tensor, ...] = ()) -> None:
        match header:
            case Tokens(tokens):
                for one in tokens:
                    answers = self.answers[one.request_id]
                    answers.sampled[one.sample].append(one)
                    answers.begun.set()
            case Done(request_id):
                self.answers[request_id].ended.set_result(header)

    def flush(self) -> None:
        return

    def close(self) -> None:
        return


class LiveGroup:
    def __init__(self, spec: WorkerSpec) -> None:
        self.loop = asyncio.new_event_loop()
        (self._model,) = spec.limits
        self._limits = spec.limits[self._model]
        self.lost: asyncio.Future[str] = self.loop.create_future()
        self.engine = JaxEngine(spec, loop=self.loop, lost=self.lost.set_result)
        self.machine = GroupScheduler(
            spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
        )
        page_tokens = {self._model: self._limits.page_tokens}
        self._server = GroupServer(
            self.machine, self.engine, loop=self.loop, soon=self.loop.call_soon, page_tokens=page_tokens
        )
        self._link = ListeningLink()
        self._server.attach(self._link)

    @property
    def scheduler(self) -> GenerationScheduler:
        return self.machine.generation_schedulers[self._model]

    def run(self, told: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(told, PATIENCE_S))

    def ask(
        self,
        prompt: np.ndarray,
        num_tokens: int,
        *,
        sampling: Sampling = GREEDY,
        num_samples: int = 1,
        tenant: str = "",
    ) -> int:
        """The id of the request."""
        request_id = len(self._link.answers)
        self._link.answers[request_id] = Answers(self.loop.create_future())
        hashes = page_hashes(prompt, page_tokens=self._limits.page_tokens, salt="")
        generation = GenerationAsk(
            num_tokens, 0, num_samples, sampling, float("inf"), float("inf"), tenant, first_hash(""), hashes
        )
        far = float("inf")
        run = Run(request_id, self._model, self.loop.time(), far, far, (), generation)
        self._server.receive(Frame(run, (tensor_of("input_ids", prompt.astype(np.int32)),)))
        return request_id

    def withdraw(self, request_id: int) -> None:
        self._server.receive(Frame(Withdrawn(request_id), ()))

    def answers(self, request_id: int) -> Answers:
        return self._link.answers[request_id]

    def done(self, request_id: int) -> Done:
        """Waits for it."""
        return self.run(asyncio.shield(self.answers(request_id).ended))

    def answer(self, prompt: np.ndarray, num_tokens: int, *, sampling: Sampling = GREEDY) -> list[int]:
        request_id = self.ask(prompt, num_tokens, sampling=sampling)
        self.done(request_id)
        return self.answers(request_id).of()


@contextmanager
def live_group(
    name: str,
    folder: Path,
    *,
    limits: GenerationLimits,
    config: tuple[int, int] = (1, 1),
    policy: Policy | None = None,
    **model,
) -> Iterator[LiveGroup]:
    """Of one tiny decoder, loaded; `model`: further words of its deployment. Its profile is of float32."""
    if not (folder / "config.json").is_file():
        write_checkpoint(name, folder)
    parallel = ParallelConfig(*config)
    stages = parallel.pipeline
    entry = ProfileEntry(
        parallel,
        (1,) * stages,
        {},
        {1: (0.1,) * stages},
        step_times=(StepTimes(0.001, 0.0),) * stages,
        # Of keys and values, 2 heads of 8 float32 in each of 2 layers.
        kv_bytes_per_token=(2 * 2 * 8 * 4 * 2 // stages,) * stages,
    )
    profile = profile_of(name, "cpu", [entry], provenance=Provenance("imported"))
    devices = tuple(f"n-0:{index}" for index in range(parallel.num_devices))
    spec = WorkerSpec(
        group=Group("g", devices, parallel, (name,)),
        models=(ModelSpec(name, source=str(folder), profile=profile, **model),),
        catalog=Catalog({name: profile}),
        policy=policy or Policy(admission="none"),
        engine="jax",
        platform="cpu",
        source_folder="/",
        key="",
        socket_path="",
        limits={name: limits},
    )
    group = LiveGroup(spec)
    try:
        group.engine.load()
        yield group
    finally:
        group.engine.close()
        group.loop.close()
