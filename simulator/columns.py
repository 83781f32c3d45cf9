"""What the virtual shells write down of each request, and what comes of it: columns of outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import assert_never, final

import numpy as np

from simulator.generation.arrivals import TokenRequests
from vocabulary.deployment import Deployment
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import Arrived, ClusterCommand, Forward, Reply, Withdraw
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.request import Fate, Request
from vocabulary.token_outcomes import keeps_tpot, keeps_ttft
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S


@final
class Columns:
    """Of all requests of a trace, by row. Shells write into them at once: a call for each would be felt."""

    def __init__(self, trace: Trace, deployment: Deployment, *, has_tokens: bool = False) -> None:
        """has_tokens: requests ask for tokens, and models generate them."""
        self._trace = trace
        self._slos = tuple(model.slo for model in deployment.models)
        self._slo_s = [model.slo_s(deployment.latency) for model in deployment.models]
        self._overhead_s = deployment.latency.fixed_overhead_s
        self.group_index = np.full(len(trace), NO_GROUP, dtype=np.int32)
        self.finish_s = np.zeros(len(trace))
        self.fate = np.full(len(trace), FATE_CODE[Fate.NOT_PLACED], dtype=np.int8)
        self._asked: TokenRequests | None = None
        self._first_token_s = np.zeros(0)
        if has_tokens and trace.tokens is not None:
            self._asked = TokenRequests(
                trace.tokens, deployment.models, slo_s=self._slo_s, tenants=trace.tenants
            )
            self._first_token_s = np.full(len(trace), np.nan)

    def request(self, row: int, model_index: int, now_s: float) -> Request:
        """That arrives now."""
        if self._asked is None:
            return Request(row, self._trace.models[model_index], now_s, self._slo_s[model_index])
        return self._asked.request(row, model_index, now_s)

    def settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        """Its group has ended it."""
        if fate is Fate.SERVED:
            self.finish_s[request_id] = now_s + self._overhead_s

    def tell_first_token(self, request_ids: Iterable[int], now_s: float) -> None:
        assert self._asked is not None, "requests are one-shot here"
        self._first_token_s[list(request_ids)] = now_s + self._overhead_s

    def perform(
        self, commands: Iterable[ClusterCommand], give: Callable[[int, Arrived], None], touched: set[int]
    ) -> None:
        """What a cluster machine has decided. give: to the group of an index; touched: those that were."""
        for command in commands:
            match command:
                case Forward(request, group_index):
                    self.group_index[request.id] = group_index
                    give(group_index, Arrived(request))
                    touched.add(group_index)
                case Reply(request_id, fate):
                    self.fate[request_id] = FATE_CODE[fate]
                case Withdraw():
                    raise AssertionError("nobody cancels in a trace")
                case _:
                    assert_never(command)

    def outcomes(self, generation: Mapping[str, GenerationStatistics] | None = None) -> Outcomes:
        """generation: totals of each model that generates."""
        served = self.fate == FATE_CODE[Fate.SERVED]
        latest_s = np.array(self._slo_s)[self._trace.model_index] + TIME_TOLERANCE_S
        good = served & (self.finish_s - self._trace.arrival_s <= latest_s)
        found = Outcomes(self._trace, self.group_index, self.finish_s, self.fate, good)
        if self._asked is None:
            return found
        found = replace(
            found, first_token_s=self._first_token_s, slos=self._slos, generation=generation or {}
        )
        return replace(found, good=good & keeps_ttft(found) & keeps_tpot(found))
