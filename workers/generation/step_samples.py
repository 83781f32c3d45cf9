"""What steps of a model take on its devices: drawn steps, timed as the engine runs them."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

import jax
import numpy as np

from vocabulary.sampling import GREEDY
from workers.generation.host_step import Draw, HostRow, HostStep
from workers.generation.model import GeneratingModel

_NONE = np.empty(0, np.int32)
# Steps of these kinds, of each as many as `num_steps` says.
_KINDS = ("answers", "prompt", "mixed")


@dataclass(frozen=True, slots=True)
class StepSample:
    """One step: tokens computed, tokens of its sequences in the cache before, seconds of each stage."""

    num_tokens: int
    num_kv_tokens: int
    stages_s: tuple[float, ...]


def measured_steps(
    model: GeneratingModel, *, num_steps: int = 24, num_rounds: int = 5, seed: int = 0
) -> tuple[StepSample, ...]:
    """Drawn steps of all sizes that the limits allow, each the median of `num_rounds` runs.

    num_steps: of each kind: only answers, only prompts, both. The first stage's time has the packing in it,
    the last one's the drawing of greedy tokens, as in the engine.
    """
    random = np.random.default_rng(seed)
    drawn = [_drawn_step(model, kind, random) for kind in _KINDS for _ in range(num_steps)]
    for step in drawn:
        _timed(model, step)
    runs: list[list[tuple[float, ...]]] = [[] for _ in drawn]
    for _ in range(num_rounds):
        # In an order of its own every round, so that a slow minute of the machine does not hit one kind.
        for index in random.permutation(len(drawn)):
            runs[index].append(_timed(model, drawn[index]))
    return tuple(
        StepSample(
            sum(len(row.token_ids) for row in step.rows),
            sum(row.start for row in step.rows),
            tuple(statistics.median(stage) for stage in zip(*mine, strict=True)),
        )
        for step, mine in zip(drawn, runs, strict=True)
    )


def _drawn_step(model: GeneratingModel, kind: str, random: np.random.Generator) -> HostStep:
    limits = model.limits
    budget = limits.max_batched_tokens
    num_answers = 0 if kind == "prompt" else _up_to(min(limits.max_sequences, budget), random)
    rows = [_row(model, int(random.integers(1, model.max_model_len)), 1, random) for _ in range(num_answers)]
    if kind != "answers" and num_answers < budget:
        num_tokens = min(_up_to(budget - num_answers, random), model.max_model_len - 1)
        start = int(random.integers(0, model.max_model_len - num_tokens))
        rows.append(_row(model, start, num_tokens, random))
    return HostStep(tuple(rows))


def _up_to(most: int, random: np.random.Generator) -> int:
    """From 1 to `most`, small ones as likely as large ones."""
    return min(most, int(2 ** random.uniform(0, np.log2(most + 1))))


def _row(model: GeneratingModel, start: int, num_tokens: int, random: np.random.Generator) -> HostRow:
    """Pages are any: what a step takes does not depend on what they hold, nor on who else has them."""
    pages = random.integers(0, model.limits.num_pages, size=model.limits.pages_of(start + num_tokens))
    token_ids = random.integers(0, model.vocab_size, size=num_tokens).astype(np.int32)
    return HostRow(token_ids, start, tuple(pages.tolist()), (Draw(GREEDY, 0, 0, _NONE, _NONE),))


def _timed(model: GeneratingModel, step: HostStep) -> tuple[float, ...]:
    """Seconds of each stage."""
    marks_s = [time.perf_counter()]
    parts = model.pack(step)
    for stage in range(model.num_stages):
        parts = jax.block_until_ready(tuple([model.run_stage(stage, part) for part in parts]))
        if stage == model.num_stages - 1:
            model.drawn(parts)
        marks_s.append(time.perf_counter())
    return tuple([end - start for start, end in pairwise(marks_s)])
