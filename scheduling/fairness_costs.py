"""What service counts: cost functions of the Virtual Token Counter ("Fairness in Serving Large Language
Models", OSDI 2024, §3.1 and §4.2), and one in seconds of the model's own engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

import msgspec

from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationLimits, StepTimes


class Service(msgspec.Struct, gc=False):
    """Tokens of one request: of its prompt that were computed, drawn ones, and those that the cache had."""

    num_input: int = 0
    num_output: int = 0
    num_cached: int = 0

    @property
    def num_tokens(self) -> int:
        """Those that the next one looks back on."""
        return self.num_input + self.num_cached + self.num_output


class AbstractCost(Protocol):
    def of(self, more: Service, after: Service, num_running: int) -> float:
        """What `more` tokens of a request count that had been served `after` before; never negative.

        num_running: requests that share the engine's steps now, this one among them.
        """
        ...


@final
class LinearCost:
    """A token of a prompt counts `input_cost`, one of an answer `output_cost`."""

    __slots__ = ("_cached_cost", "_input_cost", "_output_cost")

    def __init__(self, input_cost: float, output_cost: float, *, cached_fraction: float) -> None:
        self._input_cost = input_cost
        self._output_cost = output_cost
        self._cached_cost = input_cost * cached_fraction

    def of(self, more: Service, after: Service, num_running: int) -> float:
        return (
            self._input_cost * more.num_input
            + self._output_cost * more.num_output
            + self._cached_cost * more.num_cached
        )


@final
class ProfiledCost:
    """The published quadratic h(tokens of the prompt, tokens of the answer), charged by its differences."""

    __slots__ = ("_cached_fraction",)

    def __init__(self, *, cached_fraction: float) -> None:
        self._cached_fraction = cached_fraction

    def of(self, more: Service, after: Service, num_running: int) -> float:
        input_before = after.num_input + self._cached_fraction * after.num_cached
        input_now = input_before + more.num_input + self._cached_fraction * more.num_cached
        before = _profiled(input_before, after.num_output) if after.num_tokens else 0.0
        return _profiled(input_now, after.num_output + more.num_output) - before


def _profiled(num_input: float, num_output: int) -> float:
    """Fitted to Llama-2-7b on an A10G; the coefficients are those of the paper's published code."""
    return (
        0.21001891 * num_input
        + 0.10075395 * num_output
        + 0.0039868 * num_input * num_output
        + 0.00324733 * num_output * num_output
        + 1.14601454
    )


@final
class MeasuredCost:
    """Seconds of the engine, by the model's step times: comparable between the models of a group.

    A token takes token_s, and kv_token_s for each that it looks back on (a chunk of a prompt once). What a
    step takes whatever is in it is shared by the sequences of a step where they decode, and by the places for
    tokens that a chunk takes. The first token of an answer comes with the end of its prompt.
    """

    __slots__ = ("_cached_s", "_constant_s", "_kv_token_s", "_num_stages", "_step_tokens", "_token_s")

    def __init__(
        self, times: Sequence[StepTimes], limits: GenerationLimits, *, cached_fraction: float
    ) -> None:
        """times: of each stage."""
        self._constant_s = sum(one.constant_s for one in times)
        self._token_s = sum(one.token_s for one in times)
        self._kv_token_s = sum(one.kv_token_s for one in times)
        self._num_stages = len(times)
        self._step_tokens = limits.max_batched_tokens
        self._cached_s = (self._token_s + self._constant_s / self._step_tokens) * cached_fraction

    def of(self, more: Service, after: Service, num_running: int) -> float:
        seconds = self._cached_s * more.num_cached
        looked_back = after.num_tokens + more.num_cached
        if more.num_input:
            seconds += (self._token_s + self._constant_s / self._step_tokens) * more.num_input
            seconds += self._kv_token_s * looked_back
        if more.num_output and after.num_output:
            # With p stages, a step has a p-th of what runs.
            shared_by = max(1.0, num_running / self._num_stages)
            each_s = self._token_s + self._constant_s / shared_by + self._kv_token_s * looked_back
            seconds += each_s * more.num_output
        return seconds


def cost_of(fairness: Fairness, *, times: Sequence[StepTimes], limits: GenerationLimits) -> AbstractCost:
    """The cost function that a deployment chose, of one model on one group; times: of each stage."""
    cached = fairness.cached_fraction
    match fairness.cost:
        case "linear":
            return LinearCost(fairness.input_cost, fairness.output_cost, cached_fraction=cached)
        case "profiled":
            return ProfiledCost(cached_fraction=cached)
        case "measured":
            return MeasuredCost(times, limits, cached_fraction=cached)
        case _:
            raise AssertionError(fairness.cost)
