"""Sequences in steps that chance makes: chunks, mixes, order of pages, shared prefixes, starting again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vocabulary.messages import PageMoves
from vocabulary.sampling import GREEDY, Sampling
from workers.generation.host_step import Draw, Drawn, HostRow, HostStep
from workers.generation.model import GeneratingModel

NO_IDS = np.empty(0, np.int32)


@dataclass
class Sequence_:
    """tokens: the prompt and the answer so far; num_cached: of them in the cache."""

    tokens: list[int]
    num_prompt: int
    pages: list[int] = field(default_factory=list)
    host_pages: list[int] = field(default_factory=list)
    num_cached: int = 0
    best: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    @property
    def answer(self) -> list[int]:
        return self.tokens[self.num_prompt :]


class RandomSteps:
    """Drives one model until every sequence has `num_tokens`. Counts what happened, for tests to look at."""

    def __init__(
        self,
        model: GeneratingModel,
        prompts: Sequence[np.ndarray],
        *,
        num_tokens: int,
        seed: int,
        sampling: Sampling = GREEDY,
    ) -> None:
        self._model, self._limits = model, model.limits
        self._num_tokens, self._sampling = num_tokens, sampling
        self._chance = np.random.default_rng(seed)
        self.sequences = [Sequence_(prompt.tolist(), len(prompt)) for prompt in prompts]
        self._free = self._chance.permutation(self._limits.num_pages).tolist()
        self._free_host = self._chance.permutation(self._limits.num_host_pages).tolist()
        self._users: Counter[int] = Counter()
        self.happened: Counter[str] = Counter()

    def run(self) -> None:
        while any(len(one.answer) < self._num_tokens for one in self.sequences):
            self._step()

    def _step(self) -> None:
        waiting = [one for one in self.sequences if len(one.answer) < self._num_tokens]
        count = int(self._chance.integers(1, min(len(waiting), self._limits.max_sequences) + 1))
        chosen = [waiting[index] for index in self._chance.permutation(len(waiting))[:count]]
        rows, moves, budget = [], [], self._limits.max_batched_tokens
        taking = []
        for one in chosen:
            moves += self._disturbed(one)
            most = min(budget - (count - len(taking) - 1), len(one.tokens) - one.num_cached)
            num_tokens = int(self._chance.integers(1, most + 1))
            budget -= num_tokens
            rows.append(self._row(one, num_tokens))
            taking.append(num_tokens)
        parts = self._model.pack(HostStep(tuple(rows), _joined(moves)))
        self.happened["steps"] += 1
        self.happened["more than one part"] += len(parts) > 1
        self.happened["prompts beside answers"] += min(taking) == 1 < max(taking)
        self._absorb(chosen, rows, self._model.drawn(self._model.run(parts)))

    def _disturbed(self, one: Sequence_) -> list[PageMoves]:
        """Now and then a sequence starts again, goes to the host and comes back, or finds a prefix."""
        chance = self._chance.random()
        if one.num_cached and chance < 0.04:
            self._release(one)
            self.happened["started again"] += len(one.answer) > 0
        elif one.num_cached and chance < 0.08:
            return self._swapped(one)
        elif one.num_cached and chance < 0.12:
            return self._copied(one)
        if not one.num_cached:
            self._share(one)
        return []

    def _share(self, one: Sequence_) -> None:
        """Full pages of another sequence that begins with the same tokens; one token is left to compute."""
        page_tokens = self._limits.page_tokens
        for other in self.sequences:
            most = (min(other.num_cached, len(one.tokens) - 1)) // page_tokens * page_tokens
            if other is not one and most and other.tokens[:most] == one.tokens[:most]:
                one.pages = other.pages[: most // page_tokens]
                one.num_cached = most
                self._users.update(one.pages)
                self.happened["prefix found"] += 1
                return

    def _swapped(self, one: Sequence_) -> list[PageMoves]:
        """To the host, and from there to other pages, in one step."""
        hosts = [self._free_host.pop() for _ in one.pages]
        out = PageMoves(to_host=tuple(zip(one.pages, hosts, strict=True)))
        self._give_back(one.pages)
        one.pages = self._taken(len(one.pages))
        self._free_host[:0] = hosts
        self.happened["swapped"] += 1
        return [out, PageMoves(from_host=tuple(zip(hosts, one.pages, strict=True)))]

    def _copied(self, one: Sequence_) -> list[PageMoves]:
        """The last page, to a page that nobody had."""
        (fresh,) = self._taken(1)
        moves = PageMoves(copies=((one.pages[-1], fresh),))
        self._give_back(one.pages[-1:])
        one.pages = [*one.pages[:-1], fresh]
        self.happened["copied"] += 1
        return [moves]

    def _row(self, one: Sequence_, num_tokens: int) -> HostRow:
        end = one.num_cached + num_tokens
        one.pages = one.pages + self._taken(self._limits.pages_of(end) - len(one.pages))
        draws = (Draw(self._sampling, 0, len(one.answer), NO_IDS, NO_IDS),) if end == len(one.tokens) else ()
        ids = np.array(one.tokens[one.num_cached : end], np.int32)
        return HostRow(ids, one.num_cached, tuple(one.pages), draws)

    def _absorb(self, chosen: Sequence[Sequence_], rows: Sequence[HostRow], drawn: Drawn) -> None:
        number = 0
        for one, row in zip(chosen, rows, strict=True):
            one.num_cached += len(row.token_ids)
            for _ in row.draws:
                one.tokens.append(int(drawn.tokens[number]))
                if drawn.best_tokens is not None and drawn.best_logprobs is not None:
                    one.best.append((drawn.best_tokens[number], drawn.best_logprobs[number]))
                number += 1

    def _taken(self, count: int) -> list[int]:
        pages = [self._free.pop() for _ in range(count)]
        self._users.update(pages)
        return pages

    def _give_back(self, pages: Sequence[int]) -> None:
        self._users.subtract(pages)
        # Not before this step has read what is there.
        self._free[:0] = [page for page in pages if self._users[page] == 0]

    def _release(self, one: Sequence_) -> None:
        self._give_back(one.pages)
        one.pages, one.num_cached = [], 0


def _joined(moves: Sequence[PageMoves]) -> PageMoves:
    return PageMoves(
        to_host=tuple(pair for one in moves for pair in one.to_host),
        from_host=tuple(pair for one in moves for pair in one.from_host),
        copies=tuple(pair for one in moves for pair in one.copies),
    )
