"""Batches of prompts that begin alike, as RadixAttention was measured with (SGLang §6): who shares what.

A prompt is a path of segments; a segment is a number of tokens that stands for itself and all before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import generator
from vocabulary.trace import Tokens

# Pages of one segment that its hashes can tell apart.
_MAX_PAGES = 2**24
# (segment, its tokens)
Path = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SharedPrompts:
    """tokens: of the requests in a random order, with a hash for each page; answers have `output_tokens`."""

    name: str
    tokens: Tokens

    @property
    def num_unique_pages(self) -> int:
        """Different full pages of all prompts."""
        assert self.tokens.prefix_hashes is not None
        return len(np.unique(self.tokens.prefix_hashes))

    @property
    def best_hit_tokens(self) -> int:
        """What is found when every page is computed once.

        No prompt is only full pages, so the token that has to be computed is never on one.
        """
        assert self.tokens.prefix_hashes is not None
        return (len(self.tokens.prefix_hashes) - self.num_unique_pages) * self.tokens.block_tokens

    @property
    def best_hit_rate(self) -> float:
        """Of all prompt tokens."""
        return self.best_hit_tokens / int(self.tokens.input_tokens.sum())


def few_shot(*, seed: int, num_tasks: int = 20, num_questions: int = 40) -> SharedPrompts:
    """Questions of several tasks, each after the examples of its task."""
    rng = generator(seed, 1)
    examples = rng.integers(500, 1000, num_tasks)
    questions = rng.integers(50, 200, (num_tasks, num_questions))
    paths = [
        ((task, int(examples[task])), (num_tasks + task * num_questions + index, int(questions[task, index])))
        for task in range(num_tasks)
        for index in range(num_questions)
    ]
    return _shuffled("few-shot", paths, rng)


def multi_turn(*, seed: int, num_chats: int = 50, num_turns: int = 8) -> SharedPrompts:
    """All turns of conversations: each prompt is the one before it, its answer and a message more."""
    rng = generator(seed, 2)
    added = rng.integers(60, 240, (num_chats, num_turns))
    paths = [
        tuple((chat * num_turns + index, int(added[chat, index])) for index in range(turn + 1))
        for chat in range(num_chats)
        for turn in range(num_turns)
    ]
    return _shuffled("multi-turn", paths, rng)


def tree_of_thought(
    *, seed: int, num_questions: int = 10, num_branches: int = 3, depth: int = 4
) -> SharedPrompts:
    """Every thought of trees of thoughts is asked to go on, after the question and the thoughts before it."""
    rng = generator(seed, 3)
    paths: list[Path] = []
    for question in range(num_questions):
        level: list[Path] = [((question, int(rng.integers(300, 600))),)]
        for _ in range(depth):
            level = [
                (*path, (num_questions + len(paths) + index * num_branches + branch, int(length)))
                for index, path in enumerate(level)
                for branch, length in enumerate(rng.integers(40, 120, num_branches))
            ]
            paths += level
    return _shuffled("tree of thought", paths, rng)


SHARED_PROMPTS = {"few-shot": few_shot, "multi-turn": multi_turn, "tree of thought": tree_of_thought}


def _shuffled(
    name: str, paths: list[Path], rng: np.random.Generator, *, page_tokens: int = 16
) -> SharedPrompts:
    paths = [paths[index] for index in rng.permutation(len(paths))]
    inputs = np.array([sum(length for _, length in path) for path in paths], dtype=np.int32)
    # A token more, where a prompt would be full pages only.
    inputs += inputs % page_tokens == 0
    hashes = [_hashes(path, page_tokens) for path in paths]
    offsets = np.cumsum([0, *map(len, hashes)])
    outputs = np.ones(len(paths), dtype=np.int32)
    return SharedPrompts(name, Tokens(inputs, outputs, offsets, np.concatenate(hashes), page_tokens))


def _hashes(path: Path, page_tokens: int) -> NDArray[np.int64]:
    """Of every full page, by the segment that its last token is in."""
    ends = np.cumsum([length for _, length in path])
    pages = np.arange(int(ends[-1]) // page_tokens)
    segment = np.array([number for number, _ in path])[np.searchsorted(ends, (pages + 1) * page_tokens)]
    return segment * _MAX_PAGES + pages
