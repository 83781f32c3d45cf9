"""What transformers answers for the tiny decoders. To import only where torch is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers

from tests.workers.generation.tiny_models import (
    CONFIGS,
    GOLDENS,
    NUM_BEST,
    NUM_TOKENS,
    Expected,
    prompts_of,
    write_checkpoint,
)


def compute(name: str, directory: Path) -> Expected:
    """Greedy, in float32 on the CPU, each prompt alone and with the library's own cache."""
    model = _open(name, directory)
    answers = [_answer(model, prompt) for prompt in prompts_of(name)]
    return Expected(prompts_of(name), *(np.stack(column) for column in zip(*answers, strict=True)))


def write_goldens(scratch: Path) -> None:
    GOLDENS.mkdir(parents=True, exist_ok=True)
    for name in CONFIGS:
        expected = compute(name, scratch / name)
        np.savez_compressed(
            GOLDENS / f"{name}.npz",
            answers=expected.answers,
            best_tokens=expected.best_tokens,
            best_logprobs=expected.best_logprobs,
        )


def best_after(name: str, directory: Path, expected: Expected) -> tuple[np.ndarray, np.ndarray]:
    """The best tokens and their log-probabilities before each token of the answers: one pass for each.

    Answers are greedy if and only if each of their tokens is the best after those before it.
    """
    model = _open(name, directory)
    columns = []
    for prompt, answer in zip(expected.prompts, expected.answers, strict=True):
        ids = torch.as_tensor(np.concatenate([prompt, answer])[None], dtype=torch.long)
        with torch.no_grad():
            logits = model(ids).logits[0, len(prompt) - 1 : -1]
        columns.append(torch.log_softmax(logits, -1).topk(NUM_BEST))
    return tuple(np.stack([getattr(one, part).numpy() for one in columns]) for part in ("indices", "values"))


def _open(name: str, directory: Path) -> transformers.PreTrainedModel:
    write_checkpoint(name, directory)
    return transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def _answer(model: transformers.PreTrainedModel, prompt: np.ndarray) -> tuple[np.ndarray, ...]:
    with torch.no_grad():
        told = model.generate(
            torch.as_tensor(prompt[None], dtype=torch.long),
            max_new_tokens=NUM_TOKENS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    logprobs = torch.log_softmax(torch.cat(told.logits), -1)
    best = logprobs.topk(NUM_BEST)
    return (
        told.sequences[0, len(prompt) :].numpy().astype(np.int32),
        best.indices.numpy().astype(np.int32),
        best.values.numpy(),
    )
