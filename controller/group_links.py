"""What leads to each group's worker, and what it said last."""

from __future__ import annotations

from typing import final

import msgspec

from vocabulary.tensors import Tensor
from workers.frames import Beat
from workers.link import Link


@final
class GroupLinks:
    """By the group's index. What is sent leaves with the next `flush`; to a lost group, nothing does."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        # The last words of each, and when they came.
        self._beats: dict[int, tuple[Beat, float]] = {}
        self._unflushed: set[int] = set()

    def open(self, group_index: int, link: Link) -> None:
        self._links[group_index] = link

    def is_open(self, group_index: int) -> bool:
        return group_index in self._links

    def lose(self, group_index: int) -> bool:
        """False: that was known."""
        self._beats.pop(group_index, None)
        return self._links.pop(group_index, None) is not None

    def send(self, group_index: int, header: msgspec.Struct, tensors: tuple[Tensor, ...] = ()) -> None:
        link = self._links.get(group_index)
        if link is not None:
            link.send(header, tensors)
            self._unflushed.add(group_index)

    def flush(self) -> None:
        """One write a group, however much was sent."""
        for index in self._unflushed:
            link = self._links.get(index)
            if link is not None:
                link.flush()
        self._unflushed.clear()

    def hear(self, group_index: int, beat: Beat, now_s: float) -> None:
        self._beats[group_index] = beat, now_s

    def beat_of(self, group_index: int) -> Beat | None:
        """None: it has said nothing since it opened."""
        beat = self._beats.get(group_index)
        return None if beat is None else beat[0]

    def heard_s(self, group_index: int) -> float | None:
        """When it said something last."""
        beat = self._beats.get(group_index)
        return None if beat is None else beat[1]
