"""A radix tree over pages as RadixAttention has it, as plainly as it can be said: the oracle of the table.

Edges are runs of page keys; nodes are split where prompts part, locked up to the root while in use, and
evicted from the end of an unlocked leaf, whose parent may then be a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from scheduling.prefixes import PageKey

Cost = Callable[[int], float]


@dataclass(eq=False)
class Node:
    """left: when its last user left, counted; clock: what it was then."""

    keys: list[PageKey]
    parent: Node | None
    children: dict[PageKey, Node] = field(default_factory=dict)
    users: int = 0
    left: int = 0
    uses: int = 0
    clock: float = 0.0

    @property
    def depth(self) -> int:
        """Pages up to the end of its run."""
        return len(self.keys) + (0 if self.parent is None else self.parent.depth)


class RadixTree:
    """Least recently used first; with a cost, what is worth least first."""

    def __init__(self, cost: Cost | None = None) -> None:
        self.root = Node([], None)
        self.cost = cost
        self.clock = 0.0
        self.num_left = 0

    def nodes(self) -> list[Node]:
        return list(self._below(self.root))

    def cached(self) -> set[PageKey]:
        return {key for node in self.nodes() for key in node.keys}

    def num_unused(self) -> int:
        return sum(len(node.keys) for node in self.nodes() if not node.users)

    def match(self, keys: list[PageKey]) -> int:
        return sum(len(node.keys) for node in self._walk(keys))

    def use(self, keys: list[PageKey]) -> None:
        """One user more of a path that is there."""
        for node in self._path(keys):
            self._lock(node)

    def insert(self, keys: list[PageKey], num_used: int) -> None:
        """The path is there afterwards; who used `num_used` pages of it uses all."""
        known = self._walk(keys)
        num_known = sum(len(node.keys) for node in known)
        if num_known < len(keys):
            parent = known[-1] if known else self.root
            parent.children[keys[num_known]] = Node(keys[num_known:], parent)
        self._path(keys[:num_used])
        for node in self._path(keys):
            if node.depth > num_used:
                self._lock(node)

    def leave(self, keys: list[PageKey]) -> None:
        """One user less of a path."""
        self.num_left += 1
        for node in self._path(keys):
            node.users -= 1
            node.left, node.clock = self.num_left, self.clock

    def evict(self, num_pages: int) -> None:
        for _ in range(num_pages):
            leaves = [node for node in self.nodes() if not node.users and not node.children]
            leaf = min(leaves, key=lambda node: (self._worth(node), node.left))
            if self.cost is not None:
                self.clock = max(self.clock, self._worth(leaf))
            first = leaf.keys[0]
            leaf.keys.pop()
            if not leaf.keys:
                del leaf.parent.children[first]

    def _worth(self, leaf: Node) -> float:
        return leaf.left if self.cost is None else leaf.clock + min(leaf.uses, 4) * self.cost(leaf.depth - 1)

    def _lock(self, node: Node) -> None:
        node.users += 1
        node.uses += 1

    def _below(self, node: Node) -> Iterator[Node]:
        for child in node.children.values():
            yield child
            yield from self._below(child)

    def _path(self, keys: list[PageKey]) -> list[Node]:
        path = self._walk(keys)
        assert sum(len(node.keys) for node in path) == len(keys), "the path is not there"
        return path

    def _walk(self, keys: list[PageKey]) -> list[Node]:
        """Nodes of the longest beginning of `keys` that is there; the last is cut where it ends."""
        found, node = [], self.root
        while keys and (child := node.children.get(keys[0])) is not None:
            num_equal = 0
            while num_equal < min(len(child.keys), len(keys)) and child.keys[num_equal] == keys[num_equal]:
                num_equal += 1
            node = child if num_equal == len(child.keys) else self._cut(child, num_equal)
            found.append(node)
            keys = keys[num_equal:]
        return found

    def _cut(self, node: Node, num_keys: int) -> Node:
        """A run becomes two; returns the upper."""
        upper = replace(node, keys=node.keys[:num_keys], children={node.keys[num_keys]: node})
        node.parent.children[upper.keys[0]] = upper
        node.keys, node.parent = node.keys[num_keys:], upper
        return upper
