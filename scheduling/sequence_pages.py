"""Which pages the sequences of a model hold, on the device and on the host, and what has to move.

After vLLM (PagedAttention §4.3 to 4.5): pages shared by samples, copied before one of them writes; swapping.

Moves are performed before the next step, in the order to the host, from the host, page to page. So a page may
be read by one and be another's a moment later: what it held is read before anything is written to it. The
other way round, host pages that are read are free for others from the next decision on only, as no decision
both preempts and admits (`scheduling.generation`).
"""

from __future__ import annotations

from collections.abc import Sequence as Row
from typing import final

from scheduling.generation_sequence import Sequence
from scheduling.pages import PagePool
from scheduling.prefixes import AbstractPrefixes, PageKey, prefixes_of
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.messages import NO_MOVES, PageMoves
from vocabulary.request import Request

_NO_PAGES: list[int] = []


@final
class SequencePages:
    """Gives pages to sequences and takes them back. Nothing is taken that is not free or unused."""

    def __init__(self, limits: GenerationLimits, *, times: Row[StepTimes] = ()) -> None:
        self._limits = limits
        self._page_tokens = limits.page_tokens
        self._pool = PagePool(limits.num_pages)
        self._host = PagePool(limits.num_host_pages)
        self._prefixes: AbstractPrefixes = prefixes_of(limits, self._pool, times=times)
        self._to_host: list[tuple[int, int]] = []
        self._from_host: list[tuple[int, int]] = []
        self._copies: list[tuple[int, int]] = []
        # Whether anything may have to move before the next step.
        self.has_moves = False

    @property
    def num_free(self) -> int:
        """Pages that hold nothing, or only prefixes that nobody uses."""
        return self._pool.num_free + self._prefixes.num_unused

    @property
    def num_free_host(self) -> int:
        return self._host.num_free

    def keys(self, request: Request) -> list[PageKey]:
        """Of the full pages of its prompt, as far as they are known."""
        if request.prefix is None or not self._limits.has_prefix_cache:
            return []
        return request.prefix.page_keys(request.input_tokens, self._page_tokens)

    def num_matched(self, request: Request) -> int:
        """Tokens of its prompt that the cache of prefixes has now."""
        return self._prefixes.num_matched(self.keys(request)) * self._page_tokens

    def start(self, sequence: Sequence, budget: int) -> int:
        """Give a waiting sequence its first pages; returns the tokens it computes, 0 when it must wait.

        What is in the cache is not computed again; what is on the host comes back.
        """
        pool, prefixes, page_tokens = self._pool, self._prefixes, self._page_tokens
        num_stored, prompt_tokens, hit = sequence.num_cached, sequence.prompt_tokens, _NO_PAGES
        num_cached = num_stored
        if sequence.keys:
            # At least one token is computed.
            hit = prefixes.match(sequence.keys[: max(num_stored, prompt_tokens - 1) // page_tokens])
            num_cached = max(len(hit) * page_tokens, num_stored)
        rest = max(prompt_tokens - num_cached, 1)
        if rest > budget and not self._limits.is_chunked:
            return 0
        num_tokens = min(rest, budget)
        held, spare = -(-(num_cached + num_tokens) // page_tokens), 0
        if self._limits.reserves_output:
            held, spare = self._reserved(sequence)
        needed = held + spare - len(hit)
        missing = needed - pool.num_free
        if missing > 0 and missing > prefixes.num_unused - prefixes.num_unused_of(hit):
            return 0
        prefixes.use(hit)
        if missing > 0:
            prefixes.evict(missing)
        self._hold(sequence, hit + pool.take(held - len(hit)))
        if spare:
            sequence.answers.reserve = tuple(pool.take(spare))
        if num_stored:
            self._bring_back(sequence, len(hit))
        sequence.num_cached = num_cached
        sequence.num_keyed = len(hit)
        return num_tokens

    def grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Pages for so many tokens more, that it alone writes to.

        False when there are too few; prefixes that nobody uses are gone then.
        """
        pages, page_tokens = sequence.pages, self._page_tokens
        needed = -(-(sequence.num_cached + num_tokens) // page_tokens) - len(pages)
        copies = sequence.num_held < len(pages) * page_tokens and self._shares_tail(sequence)
        takes_copy = copies and not sequence.answers.reserve
        missing = max(needed, 0) + takes_copy - self._pool.num_free
        if missing > 0:
            num_unused = self._prefixes.num_unused
            self._prefixes.evict(min(missing, num_unused))
            if missing > num_unused:
                return False
        if copies:
            self._copy_tail(sequence)
        if needed > 0:
            pages += self._pool.take(needed)
        sequence.told_pages = None
        sequence.num_held = len(pages) * page_tokens
        return True

    def fork(self, sequence: Sequence) -> list[Sequence]:
        """The other samples of a request whose prompt is computed: they share its pages and take none.

        A last page that is not full is copied by whoever writes to it while others hold it (`grow`).
        """
        num_shared = self._limits.pages_of(sequence.num_cached)
        shared, num_keyed = sequence.pages[:num_shared], sequence.num_keyed
        num_more = len(sequence.pages) - num_shared
        answers = sequence.answers
        others = [sequence.forked(sample) for sample in range(1, sequence.num_samples)]
        for other in others:
            self._prefixes.use(shared[:num_keyed])
            self._pool.share(shared[num_keyed:])
            self._hold(other, [*shared, *answers.reserve[:num_more]])
            answers.reserve = answers.reserve[num_more:]
        if sequence.num_cached % self._page_tokens:
            for one in (sequence, *others):
                one.num_held = one.num_cached
        return others

    def make_known(self, sequence: Sequence) -> None:
        """All its pages that have keys can begin other sequences."""
        if sequence.num_keyed < len(sequence.keys):
            self._prefixes.insert(sequence.keys, sequence.pages, first=sequence.num_keyed)
            sequence.num_keyed = len(sequence.keys)
            sequence.told_pages = None

    def leave(self, sequence: Sequence, *, is_sound: bool = True) -> None:
        """It gives all pages back. When they hold what they should, full ones become known before."""
        if is_sound and sequence.num_cached >= sequence.prompt_tokens and sequence.pages:
            self.make_known(sequence)
        self._prefixes.give_back(sequence.pages)
        sequence.pages = []
        sequence.told_pages = None
        sequence.num_held = 0
        if sequence.host_pages:
            self.forget_host(sequence)

    def give_back_reserve(self, sequence: Sequence) -> None:
        """All samples of its request have left."""
        if sequence.answers.reserve:
            self._prefixes.give_back(sequence.answers.reserve)
            sequence.answers.reserve = ()

    def swap_out(self, sequence: Sequence) -> bool:
        """Its tokens go to the host and its pages back; False when the host has no room for them."""
        num_pages = self._limits.pages_of(sequence.num_cached)
        if num_pages > self._host.num_free:
            return False
        host_pages = self._host.take(num_pages)
        self.has_moves = True
        self._to_host += zip(sequence.pages, host_pages, strict=False)
        self.leave(sequence)
        sequence.host_pages = tuple(host_pages)
        sequence.moved_with = NO_MOVES
        return True

    def forget_host(self, sequence: Sequence) -> None:
        """What it has on the host is given up, also where it has not come there yet."""
        gone = set(sequence.host_pages)
        self._to_host = [move for move in self._to_host if move[1] not in gone]
        self._host.give_back(sequence.host_pages)
        sequence.host_pages = ()

    def take_moves(self) -> PageMoves:
        """All since the last time: they go before the step that starts now."""
        self.has_moves = False
        moves = PageMoves(tuple(self._to_host), tuple(self._from_host), tuple(self._copies))
        self._to_host, self._from_host, self._copies = [], [], []
        return moves

    def _reserved(self, sequence: Sequence) -> tuple[int, int]:
        """How many pages it holds to its end, and how many more are kept for its samples.

        The last token of an answer takes no place. Nothing is preempted, so nothing was emitted yet.
        """
        prompt_tokens, answer_tokens = sequence.prompt_tokens, sequence.output_tokens - 1
        held = self._limits.pages_of(prompt_tokens + answer_tokens)
        in_all = self._limits.pages_in_the_end(prompt_tokens, answer_tokens, sequence.num_samples)
        return held, in_all - held

    def _bring_back(self, sequence: Sequence, num_hit: int) -> None:
        """What is on the host comes to its pages, but for those that the cache has."""
        self.has_moves = True
        self._from_host += zip(sequence.host_pages[num_hit:], sequence.pages[num_hit:], strict=False)
        self._host.give_back(sequence.host_pages)
        sequence.host_pages = ()

    def _shares_tail(self, sequence: Sequence) -> bool:
        """Whether the page that it writes to next is still another sample's too."""
        return self._pool.num_owners(sequence.pages[sequence.num_cached // self._page_tokens]) > 1

    def _copy_tail(self, sequence: Sequence) -> None:
        answers, tail = sequence.answers, sequence.num_cached // self._page_tokens
        source = sequence.pages[tail]
        (target,) = answers.reserve[:1] or self._pool.take(1)
        answers.reserve = answers.reserve[1:]
        self.has_moves = True
        self._copies.append((source, target))
        sequence.pages[tail] = target
        self._prefixes.give_back((source,))

    def _hold(self, sequence: Sequence, pages: list[int]) -> None:
        sequence.pages += pages
        sequence.told_pages = None
        sequence.num_held = len(sequence.pages) * self._page_tokens
