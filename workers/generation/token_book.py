"""The tokens of every request that one model generates for: what its steps compute, what came of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vocabulary.messages import Batch, Slice
from vocabulary.prefix_hashes import next_hash
from vocabulary.sampling import SampledToken
from workers.engine import Prompt
from workers.generation.host_step import Draw, Drawn, HostRow, HostStep

_NONE = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class StepNews:
    """What a step drew, in the words of `workers.engine.BatchResult`."""

    tokens: tuple[SampledToken, ...]
    stopped: tuple[tuple[int, int], ...]
    full_pages: tuple[tuple[int, int, int, int], ...]


@final
class TokenBook:
    """Of one model on one group. Knows no pages but their size; not for several threads."""

    def __init__(self, *, eos_ids: Collection[int], page_tokens: int) -> None:
        self._eos_ids = frozenset(eos_ids)
        self._page_tokens = page_tokens
        self._requests: dict[int, _Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def admit(self, prompt: Prompt) -> None:
        """A request whose slices will come."""
        stops = frozenset(prompt.sampling.stop_token_ids)
        stops = stops if prompt.sampling.ignores_eos else stops | self._eos_ids
        self._requests[prompt.request_id] = _Request(prompt, stops)

    def forget(self, request_id: int) -> None:
        self._requests.pop(request_id, None)

    def step(self, batch: Batch) -> HostStep:
        """The tokens that the batch's slices name, and what is drawn after them."""
        return HostStep(tuple([self._row(one) for one in batch.slices]), batch.moves)

    def absorb(self, batch: Batch, drawn: Drawn) -> StepNews:
        """Append what the batch drew to the answers."""
        tokens: list[SampledToken] = []
        stopped: list[tuple[int, int]] = []
        full_pages: list[tuple[int, int, int, int]] = []
        # One conversion for all: single elements of numpy arrays are slow.
        ids = drawn.tokens.tolist()
        position = 0
        for one in batch.slices:
            request = self._requests[one.request_id]
            full_pages += self._filled(request, one)
            for number in range(one.num_outputs):
                sample = one.sample + number
                token = ids[position]
                request.append(sample, token)
                tokens.append(_sampled(request.prompt, sample, token, drawn, position))
                if token in request.stops:
                    stopped.append((one.request_id, sample))
                position += 1
        return StepNews(tuple(tokens), tuple(stopped), tuple(full_pages))

    def _row(self, one: Slice) -> HostRow:
        request = self._requests[one.request_id]
        token_ids = request.tokens(one.sample, one.start, one.start + one.num_tokens)
        draws = tuple([request.draw(one.sample + number) for number in range(one.num_outputs)])
        return HostRow(token_ids, one.start, one.pages, draws)

    def _filled(self, request: _Request, one: Slice) -> list[tuple[int, int, int, int]]:
        """Pages with tokens of the answer that are in the cache whole since this slice."""
        if request.prompt.first_hash is None:
            return []
        page_tokens = self._page_tokens
        first = max(one.start // page_tokens, len(request.prompt.token_ids) // page_tokens)
        last = (one.start + one.num_tokens) // page_tokens
        return [
            (one.request_id, one.sample, page, request.page_hash(one.sample, page, page_tokens))
            for page in range(first, last)
        ]


@dataclass(slots=True)
class _Request:
    """answers: of each sample begun, in buffers that hold prompt and answer; lengths: tokens in each."""

    prompt: Prompt
    stops: frozenset[int]
    answers: dict[int, np.ndarray] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    hashes: dict[int, list[int]] = field(default_factory=dict)

    def tokens(self, sample: int, start: int, end: int) -> np.ndarray:
        """Tokens of the prompt and the answer after it [end - start]."""
        buffer = self.answers.get(sample)
        return (self.prompt.token_ids if buffer is None else buffer)[start:end]

    def append(self, sample: int, token: int) -> None:
        num_prompt = len(self.prompt.token_ids)
        buffer = self.answers.get(sample)
        if buffer is None:
            buffer = self.answers[sample] = np.empty(num_prompt + self.prompt.output_tokens, np.int32)
            buffer[:num_prompt] = self.prompt.token_ids
            self.lengths[sample] = num_prompt
        buffer[self.lengths[sample]] = token
        self.lengths[sample] += 1

    def draw(self, sample: int) -> Draw:
        """The next token of a sample."""
        sampling, num_prompt = self.prompt.sampling, len(self.prompt.token_ids)
        index = self.lengths.get(sample, num_prompt) - num_prompt
        if not sampling.has_penalties:
            return Draw(sampling, sample, index, _NONE, _NONE)
        answer = self.tokens(sample, num_prompt, num_prompt + index)
        return Draw(sampling, sample, index, self.prompt.token_ids, answer)

    def page_hash(self, sample: int, page: int, page_tokens: int) -> int:
        """Of a full page and all before it."""
        hashes = self.hashes.setdefault(sample, list(self.prompt.block_hashes))
        while len(hashes) <= page:
            before = hashes[-1] if hashes else self.prompt.first_hash
            assert before is not None
            start = len(hashes) * page_tokens
            hashes.append(next_hash(before, self.tokens(sample, start, start + page_tokens)))
        return hashes[page]


def _sampled(prompt: Prompt, sample: int, token: int, drawn: Drawn, position: int) -> SampledToken:
    wanted = prompt.sampling.num_logprobs
    if wanted is None or drawn.logprobs is None:
        return SampledToken(prompt.request_id, sample, token)
    best: tuple[tuple[int, float], ...] = ()
    if wanted and drawn.best_tokens is not None and drawn.best_logprobs is not None:
        ids, logprobs = drawn.best_tokens[position, :wanted], drawn.best_logprobs[position, :wanted]
        best = tuple(zip(ids.tolist(), logprobs.tolist(), strict=True))
    return SampledToken(prompt.request_id, sample, token, float(drawn.logprobs[position]), best)
