"""Chat-like traffic: conversations of several turns whose prompts extend the earlier ones.

The marginals are LMSYS-Chat-1M's (2.0 turns, prompts of 69.5 and responses of 214.5 tokens on average), which
has no arrival times and may not be passed on. How lengths spread was not published with it: the default
sigmas give the ratio of mean to median of the Chatbot Arena log in VTC's artifact (3.3 and 1.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.chat_prefixes import prefixes
from simulator.traffic.generators import generator
from simulator.traffic.processes import OnOff, process_arrivals_s
from simulator.traffic.renewal import whole_ns
from vocabulary.trace import Tokens, Trace

# Keys of the generators: what a model's conversations draw is apart from when they begin.
STARTS, TURNS = 1, 2
POOL = 2**32
# Conversations that begin before the trace send later turns into it; after so many mean turns few go on.
WARM_UP_TURNS = 10


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Lengths in tokens, at least 1. sigma: standard deviation of their logarithm."""

    mean: float
    sigma: float

    def __post_init__(self) -> None:
        assert self.mean >= 1, self.mean
        assert self.sigma >= 0, self.sigma

    def draw(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        """Rounded, which moves the mean by less than half a token."""
        logs = np.log(self.mean) - self.sigma**2 / 2 + self.sigma * rng.standard_normal(size)
        return np.maximum(1, np.rint(np.exp(logs))).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Chat:
    """What conversations are like.

    mean_turns: of a geometric distribution; think_s: mean of the exponential time between turns.
    num_system_prompts: size of the pool they begin with, shared by all models, asked for as rank ** -1;
    system_share: of the conversations, those that have one.
    num_clients: of each model; a client begins conversations for `on_s`, is silent for `off_s` on average,
    and its gaps have this CV. block_tokens: tokens of one prefix hash.
    max_input_tokens: a turn whose prompt is longer is not sent, and ends its conversation.
    """

    mean_turns: float = 2.0
    prompt: LogNormal = LogNormal(69.5, 1.5)
    response: LogNormal = LogNormal(214.5, 0.8)
    system: LogNormal = LogNormal(200.0, 0.5)
    num_system_prompts: int = 8
    system_share: float = 0.5
    think_s: float = 30.0
    num_clients: int = 20
    on_s: float = 300.0
    off_s: float = 600.0
    cv: float = 2.0
    block_tokens: int = 16
    max_input_tokens: int = 8192

    def __post_init__(self) -> None:
        assert self.mean_turns >= 1, self.mean_turns
        assert 0 <= self.system_share <= 1, self.system_share
        assert min(self.num_system_prompts, self.block_tokens, self.max_input_tokens) >= 1


@dataclass(frozen=True, slots=True)
class Conversations:
    """A trace, and of each request [requests]: its conversation, its turn from 0, the tokens the user typed.

    `message_tokens` are new in this prompt: without the system prompt and earlier turns.
    """

    trace: Trace
    conversation: NDArray[np.int64]
    turn: NDArray[np.int64]
    message_tokens: NDArray[np.int64]


def converse(rates_rps: Mapping[str, float], *, chat: Chat, duration_s: float, seed: int) -> Conversations:
    """Requests in [0, duration_s), at these rates of requests (not of conversations) for each model.

    Each model draws from generators of its own. Requests that `max_input_tokens` cuts lower the rate.
    """
    pool = chat.system.draw(generator(seed, POOL), chat.num_system_prompts)
    parts = [
        _turns(rate, index, pool, chat=chat, duration_s=duration_s, seed=seed)
        for index, rate in enumerate(rates_rps.values())
    ]
    turns = _ordered(parts)
    hashed = prefixes(
        turns.conversation, turns.system, turns.system_tokens, turns.input_tokens,
        block_tokens=chat.block_tokens, seed=seed,
    )  # fmt: skip
    tokens = Tokens(
        turns.input_tokens.astype(np.int32), turns.output_tokens.astype(np.int32), hashed.offsets,
        hashed.hashes, chat.block_tokens,
    )  # fmt: skip
    trace = Trace(turns.arrival_s, (turns.conversation >> 32).astype(np.int32), tuple(rates_rps), tokens)
    return Conversations(trace, turns.conversation, turns.turn, turns.message_tokens)


@dataclass(frozen=True, slots=True)
class _Turns:
    """Columns [requests]. conversation: the model's index in the upper half, a number in the lower."""

    arrival_s: NDArray[np.float64]
    conversation: NDArray[np.int64]
    turn: NDArray[np.int64]
    system: NDArray[np.int64]
    system_tokens: NDArray[np.int64]
    message_tokens: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]


def _turns(
    rate_rps: float, model_index: int, pool: NDArray[np.int64], *, chat: Chat, duration_s: float, seed: int
) -> _Turns:
    """Of one model, conversation by conversation."""
    warm_up_s = WARM_UP_TURNS * chat.mean_turns * chat.think_s
    starting = OnOff(rate_rps / chat.mean_turns, chat.num_clients, chat.on_s, chat.off_s, chat.cv)
    starts_s = process_arrivals_s(
        starting, duration_s=warm_up_s + duration_s, rng=generator(seed, model_index, STARTS)
    )
    rng = generator(seed, model_index, TURNS)
    num_turns = rng.geometric(1 / chat.mean_turns, len(starts_s))
    system = _systems(rng, len(starts_s), chat)
    owner = np.repeat(np.arange(len(starts_s)), num_turns)
    first = np.cumsum(num_turns) - num_turns
    turn = np.arange(len(owner)) - first[owner]
    think_s = np.where(turn == 0, 0.0, whole_ns(rng.exponential(chat.think_s, len(owner))))
    message, output = chat.prompt.draw(rng, len(owner)), chat.response.draw(rng, len(owner))
    system_tokens = np.where(system >= 0, pool[system], 0)[owner]
    # A prompt is the system prompt, every message up to this one, and every response before it.
    history = _sums_within(message + output, first, owner) - output
    columns = _Turns(
        arrival_s=whole_ns(starts_s[owner] - warm_up_s + _sums_within(think_s, first, owner)),
        conversation=(np.int64(model_index) << 32) + owner,
        turn=turn,
        system=system[owner],
        system_tokens=system_tokens,
        message_tokens=message,
        input_tokens=system_tokens + history,
        output_tokens=output,
    )
    is_sent = (columns.arrival_s >= 0) & (columns.arrival_s < duration_s)
    return _rows(columns, is_sent & (columns.input_tokens <= chat.max_input_tokens))


def _systems(rng: np.random.Generator, size: int, chat: Chat) -> NDArray[np.int64]:
    """The position in the pool of each conversation's system prompt; -1 without one."""
    weights = np.cumsum(1.0 / np.arange(1, chat.num_system_prompts + 1))
    chosen = np.searchsorted(weights, rng.random(size) * float(weights[-1]), side="right")
    return np.where(rng.random(size) < chat.system_share, chosen, -1)


def _sums_within(values: NDArray[Any], first: NDArray[np.int64], owner: NDArray[np.int64]) -> NDArray[Any]:
    """Cumulative sums that begin anew with each conversation."""
    sums: NDArray[Any] = np.cumsum(values)
    before = sums[first] - values[first]
    return sums - before[owner]


def _ordered(parts: list[_Turns]) -> _Turns:
    """All models' turns by arrival; within an instant by model and conversation."""
    columns = [
        np.concatenate([getattr(part, name) for part in parts]) for name in _Turns.__dataclass_fields__
    ]
    together = _Turns(*columns)
    return _rows(together, np.argsort(together.arrival_s, kind="stable"))


def _rows(turns: _Turns, rows: NDArray[np.bool_] | NDArray[np.int64]) -> _Turns:
    return _Turns(*(getattr(turns, name)[rows] for name in _Turns.__dataclass_fields__))
