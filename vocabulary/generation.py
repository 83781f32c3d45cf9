"""Serving a model that generates: what a step of its engine costs, and what the engine may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one step: constant_s + token_s x tokens computed + kv_token_s x tokens attended to.

    Tokens attended to are those in the cache when the step starts, summed over its sequences.
    """

    constant_s: float
    token_s: float
    kv_token_s: float = 0.0

    def of(self, num_tokens: float, num_kv_tokens: float) -> float:
        return self.constant_s + self.token_s * num_tokens + self.kv_token_s * num_kv_tokens

    def scaled(self, scale: float) -> StepTimes:
        """The times of an engine that takes `scale` times as long."""
        return StepTimes(self.constant_s * scale, self.token_s * scale, self.kv_token_s * scale)


@dataclass(frozen=True, slots=True)
class Prefix:
    """How a prompt begins: chained hashes of its full blocks; equal hashes mean equal prompts up to there."""

    block_hashes: tuple[int, ...]
    block_tokens: int

    def page_keys(self, input_tokens: int, page_tokens: int) -> list[tuple[int, int]]:
        """What identifies each full page of the prompt and all before it, as far as blocks are known.

        A page is known by the block that its last token is in: pages and blocks need not align.
        """
        num_known = min(input_tokens, len(self.block_hashes) * self.block_tokens)
        hashes, block_tokens = self.block_hashes, self.block_tokens
        return [
            (hashes[((index + 1) * page_tokens - 1) // block_tokens], index)
            for index in range(num_known // page_tokens)
        ]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What a deployment asks for a model that generates; the words are those of `GenerationLimits`.

    num_pages: of the cache on every group; when None, memory_fraction of what weights leave there; when that
    is None too, an equal part of what the other models' caches leave (`vocabulary.page_budget`).
    """

    memory_fraction: float | None = None
    num_pages: int | None = None
    page_tokens: int = 16
    max_batched_tokens: int = 2048
    max_sequences: int = 256
    is_chunked: bool = True
    reserves_output: bool = False
    has_prefix_cache: bool = True
    num_host_pages: int = 0
    eviction: str = "lru"

    def limits(self, num_pages: int) -> GenerationLimits:
        """With so many pages."""
        return GenerationLimits(
            num_pages,
            self.page_tokens,
            self.max_batched_tokens,
            self.max_sequences,
            self.is_chunked,
            self.reserves_output,
            self.has_prefix_cache,
            self.num_host_pages,
            self.eviction,
        )


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """What the engine of one model on one group may hold, and how it makes room.

    max_batched_tokens: computed in one step; max_sequences: running at once; a page holds the keys and
    values of page_tokens tokens. reserves_output: pages for the whole answer are taken at admission, so
    nothing is ever preempted; without it pages are taken as sequences grow, and the sequence admitted last
    gives its own back when there are none. is_chunked: a prompt may be computed in several steps.
    num_host_pages: where such pages go and come back from, in memory of the host; when they do not fit
    there, their tokens are computed again. eviction: which unused cached pages go first, "lru" or "cost".
    """

    num_pages: int
    page_tokens: int = 16
    max_batched_tokens: int = 2048
    max_sequences: int = 256
    is_chunked: bool = True
    reserves_output: bool = False
    has_prefix_cache: bool = False
    num_host_pages: int = 0
    eviction: str = "lru"

    def pages_of(self, num_tokens: int) -> int:
        """Pages that hold so many tokens."""
        return -(-num_tokens // self.page_tokens)

    def pages_in_the_end(self, prompt_tokens: int, answer_tokens: int, num_samples: int) -> int:
        """Of all answers together: they share the full pages of the prompt.

        answer_tokens: that each keeps in the cache, one less than it emits.
        """
        each = self.pages_of(prompt_tokens + answer_tokens)
        return each + (num_samples - 1) * (each - prompt_tokens // self.page_tokens)

    def can_ever_run(self, input_tokens: int, output_tokens: int, num_samples: int = 1) -> bool:
        """Whether a request fits an idle engine; one that does not is refused up front.

        The last token of an answer is sent, not computed, so it takes no place in the cache. A sequence that
        gave its pages back computes its prompt and all it has said at once, when prompts are not chunked.
        All samples run at once when the prompt ends. Without reservation, pages for one are enough: the
        others can give theirs back until it is done.
        """
        prompt_tokens, answer_tokens = max(input_tokens, 1), max(output_tokens, 1) - 1
        at_once = prompt_tokens + (0 if self.reserves_output else answer_tokens)
        if num_samples > self.max_sequences or not (self.is_chunked or at_once <= self.max_batched_tokens):
            return False
        num_at_once = num_samples if self.reserves_output else 1
        return self.pages_in_the_end(prompt_tokens, answer_tokens, num_at_once) <= self.num_pages
