"""Batches of the JAX engine: packed on the first stage's thread, and the answers that come of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.messages import Batch
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.tensors import Tensor
from workers.engine import (
    GENERATION_INPUTS,
    GENERATION_OUTPUTS,
    Answer,
    Finished,
    Freed,
    GenerationInterface,
    ModelInterface,
    Prompt,
    Tensors,
)
from workers.generation.host_step import HostStep
from workers.generation.model import GeneratingModel
from workers.loading import LoadedModel
from workers.stage_line import InFlight


@dataclass(frozen=True, slots=True)
class Job:
    """One batch, as the server gave it. invalid: why a request's input cannot be taken, empty if it can.

    step: of a batch that generates, what it computes.
    """

    batch: Batch
    inputs: tuple[Tensors, ...]
    stage_freed: Freed
    finished: Finished
    invalid: tuple[str, ...] = ()
    step: HostStep | None = None


def why_not(model: GeneratingModel, prompt: Prompt) -> str:
    """Why the model cannot take a prompt; the endpoint has checked the same, of the view that it had."""
    token_ids, most = prompt.token_ids, len(prompt.token_ids) + prompt.output_tokens
    if prompt.output_tokens < 1:
        return "an answer has at least one token"
    if not len(token_ids) or token_ids.min() < 0 or token_ids.max() >= model.vocab_size:
        return f"token ids must be between 0 and {model.vocab_size - 1}, and at least one"
    if most > model.max_model_len:
        return f"prompt and answer may have {most} tokens, and the model takes {model.max_model_len}"
    return ""


def interface_of(model: LoadedModel) -> ModelInterface:
    """What clients see of it."""
    if not isinstance(model, GeneratingModel):
        return ModelInterface(model.inputs, model.outputs, "statmux_jax", max_batch_size=0)
    generation = GenerationInterface(model.max_model_len, model.vocab_size, tuple(model.eos_ids))
    return ModelInterface(
        GENERATION_INPUTS, GENERATION_OUTPUTS, "statmux_jax", max_batch_size=0, generation=generation
    )


def packed(job: InFlight) -> InFlight:
    """The batch's valid requests padded together, or its step in arrays."""
    if job.ticket.step is not None:
        return replace(job, parts=job.model.pack(job.ticket.step))
    prepared, invalid = [], []
    for tensors in job.ticket.inputs:
        try:
            prepared.append(job.model.prepare({tensor.name: _array(tensor) for tensor in tensors}))
            invalid.append("")
        except InvalidInput as error:
            invalid.append(error.message)
    parts = tuple(job.model.parts(prepared))
    return replace(job, parts=parts, ticket=replace(job.ticket, invalid=tuple(invalid)))


def _array(tensor: Tensor) -> NDArray:
    """Raises InvalidInput for a tensor that does not hold what it says: its request fails alone."""
    try:
        return array_of(tensor)
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{tensor.name} does not hold what it says: {error}") from error


def answers_of(job: InFlight) -> tuple[Answer, ...]:
    """Outputs for the valid requests, in the order of the batch."""
    outputs = iter([one for part in job.parts for one in job.model.unpad(part)])
    return tuple(
        Answer(invalid=why)
        if why
        else Answer(tuple(tensor_of(name, array) for name, array in next(outputs).items()))
        for why in job.ticket.invalid
    )
