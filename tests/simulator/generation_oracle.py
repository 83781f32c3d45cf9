"""Continuous batching of one engine, as plainly as it can be said: the oracle of the compiled kernels.

Written from the rule, not from the machine or the kernels. Pages are not numbered: what can be shared is
known by its key, everything else is a count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vocabulary.generation import GenerationLimits, Prefix, StepTimes
from vocabulary.trace import Tokens

Key = tuple[int, int]


@dataclass(slots=True, eq=False)
class Sequence:
    """prompt_tokens: to compute before the next token is emitted; total_tokens: ever in the cache."""

    request: int
    prompt_tokens: int
    output_tokens: int
    total_tokens: int
    keys: list[Key]
    num_cached: int = 0
    num_emitted: int = 0
    num_recomputed: int = 0
    num_own_pages: int = 0
    shared: list[Key] = field(default_factory=list)

    @property
    def num_pages(self) -> int:
        return len(self.shared) + self.num_own_pages


@dataclass(slots=True)
class Oracle:
    """Columns with NaN where a request was refused, and totals."""

    limits: GenerationLimits
    first_token_s: list[float]
    finish_s: list[float]
    is_refused: list[bool]
    num_steps: int = 0
    num_tokens: int = 0
    num_preempted: int = 0
    num_recomputed: int = 0
    num_hit: int = 0
    peak_pages: int = 0
    peak_sequences: int = 0
    waiting: list[Sequence] = field(default_factory=list)
    running: list[Sequence] = field(default_factory=list)
    # Users of every page in the cache, and the unused ones, next to be evicted first.
    users: dict[Key, int] = field(default_factory=dict)
    unused: list[Key] = field(default_factory=list)

    @property
    def num_free(self) -> int:
        return self.limits.num_pages - len(self.users) - sum(one.num_own_pages for one in self.running)

    def make_room(self, num_pages: int) -> None:
        """Evict until so many are free, or nothing is unused."""
        while self.num_free < num_pages and self.unused:
            del self.users[self.unused.pop(0)]

    def use(self, key: Key) -> None:
        if key in self.unused:
            self.unused.remove(key)
        self.users[key] = self.users.get(key, 0) + 1

    def leave(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        for key in reversed(sequence.shared):
            self.users[key] -= 1
            if self.users[key] == 0:
                self.unused.append(key)
        sequence.shared, sequence.num_own_pages = [], 0

    def grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Pages for so many more tokens; False when it was preempted itself."""
        lacking = self.limits.pages_of(sequence.num_cached + num_tokens) - sequence.num_pages
        while lacking > 0:
            self.make_room(lacking)
            if self.num_free >= lacking:
                sequence.num_own_pages += lacking
                return True
            last = self.running[-1]
            self.leave(last)
            self.num_preempted += 1
            self.num_recomputed += last.num_cached
            last.prompt_tokens += last.num_emitted - last.num_recomputed
            last.num_recomputed, last.num_cached = last.num_emitted, 0
            self.waiting.insert(0, last)
            if last is sequence:
                return False
        return True

    def start(self, sequence: Sequence, budget: int) -> int:
        """Tokens that the head of the queue computes in this step; 0 when it has to wait."""
        limits, prompt = self.limits, sequence.prompt_tokens
        hit: list[Key] = []
        for key in sequence.keys:
            if key not in self.users or (len(hit) + 1) * limits.page_tokens >= prompt:
                break
            hit.append(key)
        num_hit = len(hit) * limits.page_tokens
        num_tokens = min(prompt - num_hit, budget)
        if num_tokens < prompt - num_hit and not limits.is_chunked:
            return 0
        held = num_hit + num_tokens
        if limits.reserves_output:
            held = sequence.total_tokens
        lacking = limits.pages_of(held) - len(hit)
        if lacking > self.num_free + len([key for key in self.unused if key not in hit]):
            return 0
        for key in hit:
            self.use(key)
        self.make_room(lacking)
        sequence.shared, sequence.num_own_pages, sequence.num_cached = hit, lacking, num_hit
        self.num_hit += num_hit
        return num_tokens

    def form_step(self) -> list[tuple[Sequence, int]]:
        step: list[tuple[Sequence, int]] = []
        budget, num_preempted = self.limits.max_batched_tokens, self.num_preempted
        for sequence in list(self.running):
            if sequence not in self.running or budget == 0:
                break
            num_tokens = min(max(sequence.prompt_tokens - sequence.num_cached, 1), budget)
            if not self.grow(sequence, num_tokens):
                break
            step.append((sequence, num_tokens))
            budget -= num_tokens
        while self.waiting and budget and self.num_preempted == num_preempted:
            num_tokens = self.start(self.waiting[0], budget) if self.has_place else 0
            if not num_tokens:
                break
            sequence = self.waiting.pop(0)
            self.running.append(sequence)
            step.append((sequence, num_tokens))
            budget -= num_tokens
        return step

    @property
    def has_place(self) -> bool:
        return len(self.running) < self.limits.max_sequences

    def end_step(self, step: list[tuple[Sequence, int]], now_s: float) -> None:
        for sequence, num_tokens in step:
            sequence.num_cached += num_tokens
            if sequence.num_cached < sequence.prompt_tokens:
                continue
            for key in sequence.keys[len(sequence.shared) :]:
                self.use(key)
                sequence.shared.append(key)
                sequence.num_own_pages -= 1
            if sequence.num_emitted == 0:
                self.first_token_s[sequence.request] = now_s
            sequence.num_emitted += 1
            if sequence.num_emitted == sequence.output_tokens:
                self.finish_s[sequence.request] = now_s
                self.leave(sequence)


def follow(arrival_s: list[float], tokens: Tokens, *, times: StepTimes, limits: GenerationLimits) -> Oracle:
    """All requests, step by step."""
    num_requests = len(arrival_s)
    nothing = [np.nan] * num_requests
    oracle = Oracle(limits, list(nothing), list(nothing), [False] * num_requests)
    index, now_s = 0, 0.0
    while True:
        while index < num_requests and arrival_s[index] <= now_s:
            asked = int(tokens.input_tokens[index]), int(tokens.output_tokens[index])
            if limits.can_ever_run(*asked):
                keys = keys_of(tokens, index, limits)
                prompt, answer = max(asked[0], 1), max(asked[1], 1)
                oracle.waiting.append(Sequence(index, prompt, answer, prompt + answer - 1, keys))
            else:
                oracle.is_refused[index] = True
            index += 1
        step = oracle.form_step()
        if not step:
            assert not oracle.waiting and not oracle.running, "stuck"
            if index == num_requests:
                return oracle
            now_s = arrival_s[index]
            continue
        num_tokens = sum(number for _, number in step)
        now_s += times.of(num_tokens, sum(sequence.num_cached for sequence, _ in step))
        oracle.num_steps += 1
        oracle.num_tokens += num_tokens
        held = oracle.limits.num_pages - oracle.num_free - len(oracle.unused)
        oracle.peak_pages = max(oracle.peak_pages, held)
        oracle.peak_sequences = max(oracle.peak_sequences, len(oracle.running))
        oracle.end_step(step, now_s)


def prefix_of(tokens: Tokens, index: int) -> Prefix | None:
    """How the prompt of a request begins, as the machines are told."""
    if tokens.prefix_offsets is None or tokens.prefix_hashes is None:
        return None
    first, last = tokens.prefix_offsets[index : index + 2]
    return Prefix(tuple(tokens.prefix_hashes[first:last].tolist()), tokens.block_tokens)


def keys_of(tokens: Tokens, index: int, limits: GenerationLimits) -> list[Key]:
    """Of the full pages of a prompt: the chained hash of the block that a page ends in, and its place."""
    prefix = prefix_of(tokens, index)
    if prefix is None or not limits.has_prefix_cache:
        return []
    ends = range(limits.page_tokens, int(tokens.input_tokens[index]) + 1, limits.page_tokens)
    num_known = len(prefix.block_hashes) * prefix.block_tokens
    return [(prefix.block_hashes[(end - 1) // prefix.block_tokens], end) for end in ends if end <= num_known]
