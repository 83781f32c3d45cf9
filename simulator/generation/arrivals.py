"""Rows of a trace as requests that ask for tokens, and what has to be known to answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits, Prefix
from vocabulary.page_budget import generation_limits
from vocabulary.placement import Placement
from vocabulary.request import Request
from vocabulary.trace import Tenants, Tokens, Trace
from vocabulary.units import NEVER_S


def asks_for_tokens(trace: Trace) -> bool:
    """Whether any request is to be answered token by token."""
    return trace.tokens is not None and bool(np.any(trace.tokens.output_tokens > 0))


def limits_of_groups(
    placement: Placement, trace: Trace, *, deployment: Deployment
) -> tuple[Mapping[str, GenerationLimits], ...]:
    """For each group, of its models that generate; all empty when no request asks for tokens.

    Raises InvalidInput when a model is asked for tokens that its profile has no step times for.
    """
    if trace.tokens is None or not asks_for_tokens(trace):
        return tuple({} for _ in placement.groups)
    asked = np.unique(trace.model_index[trace.tokens.output_tokens > 0])
    for model in (deployment.models[int(index)] for index in asked):
        if model.profile is not None and not model.generates:
            raise InvalidInput(
                f"the trace asks {model.name} for output tokens, and its profile has no step_times",
                hint="add step_times to every entry of the profile, or leave output_tokens out of the trace",
            )
    return tuple(generation_limits(group, deployment) for group in placement.groups)


@final
class TokenRequests:
    """Makes the request of a row: its lengths, the beginning of its prompt, its objectives, whose it is."""

    def __init__(
        self,
        tokens: Tokens,
        models: Sequence[ModelSpec],
        *,
        slo_s: Sequence[float],
        tenants: Tenants | None = None,
    ) -> None:
        self._tokens = tokens
        self._tenants = tenants
        self._names = [model.name for model in models]
        self._slo_s = slo_s
        self._ttft_s = [NEVER_S if model.slo.ttft_s is None else model.slo.ttft_s for model in models]
        self._tpot_s = [NEVER_S if model.slo.tpot_s is None else model.slo.tpot_s for model in models]

    def request(self, row: int, model_index: int, arrival_s: float) -> Request:
        num_output = int(self._tokens.output_tokens[row])
        if not num_output:
            return Request(row, self._names[model_index], arrival_s, self._slo_s[model_index])
        return Request(
            row,
            self._names[model_index],
            arrival_s,
            self._slo_s[model_index],
            input_tokens=int(self._tokens.input_tokens[row]),
            output_tokens=num_output,
            prefix=self._prefix(row),
            ttft_s=self._ttft_s[model_index],
            tpot_s=self._tpot_s[model_index],
            tenant="" if self._tenants is None else self._tenants.names[int(self._tenants.index[row])],
        )

    def _prefix(self, row: int) -> Prefix | None:
        offsets, hashes = self._tokens.prefix_offsets, self._tokens.prefix_hashes
        if offsets is None or hashes is None or offsets[row] == offsets[row + 1]:
            return None
        return Prefix(tuple(hashes[offsets[row] : offsets[row + 1]].tolist()), self._tokens.block_tokens)
