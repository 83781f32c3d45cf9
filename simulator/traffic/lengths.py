"""Lengths of prompts and answers, for requests whose times are drawn already."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import generator
from vocabulary.deployment import ModelSpec, Workload
from vocabulary.trace import Tokens, Trace

# Of the logarithm of a length: prompts of chats vary more, answers less.
_SIGMA = 0.8


def with_lengths(trace: Trace, generating: Mapping[str, ModelSpec], *, seed: int) -> Trace:
    """Requests of the `generating` models ask for tokens: log-normal lengths, the means of their workload.

    No longer than the model's context where the deployment says one; other models' requests ask for none.
    Each model draws from a generator of its own.
    """
    inputs, outputs = np.zeros(len(trace), np.int32), np.zeros(len(trace), np.int32)
    for name, model in generating.items():
        index = trace.models.index(name)
        mine = np.flatnonzero(trace.model_index == index)
        workload = model.workload or Workload(0.0)
        rng = generator(seed, len(trace.models) + index)
        most = model.max_model_len or math.inf
        inputs[mine] = _drawn(workload.input_tokens, most / 2, len(mine), rng)
        outputs[mine] = _drawn(workload.output_tokens, most / 2, len(mine), rng)
    return replace(trace, tokens=Tokens(inputs, outputs))


def _drawn(mean: float, most: float, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    lengths = np.exp(rng.normal(math.log(mean) - _SIGMA**2 / 2, _SIGMA, size=count))
    return np.clip(np.round(lengths), 1, min(most, 2**31 - 1)).astype(np.int32)
