"""A request that a group holds: as it came, what became of it, and the frame that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, isnan

import msgspec
import numpy as np

from vocabulary.generation import Prefix
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S
from workers.engine import Answer, Prompt, Tensors
from workers.frames import Done, GenerationAsk, Run, tensor_headers
from workers.fronts import Front
from workers.work_times import Timesheet

# A token id is an int32.
_TOKEN_BYTES = 4


@dataclass(slots=True)
class Held:
    """A request that the group has not settled yet, and whose it is. is_ended: by us: its model goes.

    times: only of one that is to be timed.
    """

    front: Front
    model: str
    inputs: Tensors
    received_s: float
    times: Timesheet | None = None
    start_s: float = NEVER_S
    finish_s: float = NEVER_S
    batch_size: int = 0
    answer: Answer = Answer()
    error: str = ""
    is_ended: bool = False
    # Of a request that generates.
    reasons: list[str] = field(default_factory=list)
    is_begun: bool = False
    num_cached: int = 0

    @property
    def num_bytes(self) -> int:
        """Of its inputs."""
        return sum([len(tensor.raw) for tensor in self.inputs])

    @property
    def token_ids(self) -> np.ndarray:
        """Of the prompt, int32 [tokens]."""
        return np.frombuffer(self.inputs[0].raw, np.int32)

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.inputs[0].raw) // _TOKEN_BYTES

    @property
    def fate_when_ended(self) -> Fate:
        """Of one that had not begun it is certain that it may be asked again."""
        return Fate.UNAVAILABLE if self.start_s == NEVER_S else Fate.LOST

    def tell_done(self, request_id: int, fate: Fate, now_s: float) -> None:
        """Its last frame, on the front end's clock; nothing where nobody waits for it any more."""
        if not self.front.is_linked:
            return
        answer, offset_s = self.answer, self.front.clock_offset_s
        done = Done(
            request_id,
            (Fate.INVALID if answer.invalid else fate).value,
            self.start_s - offset_s,
            (now_s if self.finish_s == NEVER_S else self.finish_s) - offset_s,
            self.batch_size,
            self.error or answer.invalid,
            tensor_headers(answer.tensors),
            tuple(self.reasons),
            self.num_cached,
            None if self.times is None else self.times.told(offset_s=offset_s),
        )
        self.front.send(done, answer.tensors)


def why_not(run: Run, inputs: Tensors, *, generates: bool) -> str:
    """Why a request cannot be taken, whatever its model: what no endpoint of ours lets through. Else empty.

    generates: whether its model does.
    """
    ask = run.generation
    if not isfinite(run.arrival_s) or isnan(run.slo_s) or isnan(run.deadline_s):
        return "its times are no numbers"
    if ask is None:
        return ""
    if not generates:
        return f"{run.model} does not generate"
    if ask.num_samples < 1 or ask.output_tokens < 1:
        return f"{ask.num_samples} answers of {ask.output_tokens} tokens cannot be made"
    if len(inputs) != 1 or not len(inputs[0].raw) or len(inputs[0].raw) % _TOKEN_BYTES:
        return "its prompt is not one tensor of at least one token"
    return ""


def request_of(run: Run, *, clock_offset_s: float) -> Request:
    """A one-shot request on our clock."""
    return Request(
        run.request_id, run.model, run.arrival_s + clock_offset_s, run.slo_s, run.deadline_s + clock_offset_s
    )


def generating_request(request: Request, ask: GenerationAsk, *, num_prompt: int, page_tokens: int) -> Request:
    """The same, for an answer token by token. page_tokens: of a page of the model."""
    return msgspec.structs.replace(
        request,
        input_tokens=num_prompt,
        output_tokens=ask.output_tokens,
        # Also of a prompt shorter than a page: what is said to it fills pages that the next turn has.
        prefix=None if ask.first_hash is None else Prefix(ask.block_hashes, page_tokens),
        ttft_s=ask.ttft_s,
        tpot_s=ask.tpot_s,
        expected_tokens=ask.expected_tokens,
        num_samples=ask.num_samples,
        tenant=ask.tenant,
    )


def prompt_of(request: Request, ask: GenerationAsk, token_ids: np.ndarray) -> Prompt:
    """What the engine is told of it."""
    return Prompt(
        request.id,
        request.model,
        token_ids,
        ask.output_tokens,
        ask.num_samples,
        ask.sampling,
        ask.first_hash,
        ask.block_hashes,
    )
