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

    def __init__(self, num_groups: int) -> None:
        self._links: list[Link | None] = [None] * num_groups
        self._beats: list[Beat | None] = [None] * num_groups
        self._unflushed: set[int] = set()

    def open(self, group_index: int, link: Link) -> None:
        self._links[group_index] = link

    def lose(self, group_index: int) -> bool:
        """False: that was known."""
        was_open = self._links[group_index] is not None
        self._links[group_index] = self._beats[group_index] = None
        return was_open

    def send(self, group_index: int, header: msgspec.Struct, tensors: tuple[Tensor, ...] = ()) -> None:
        link = self._links[group_index]
        if link is not None:
            link.send(header, tensors)
            self._unflushed.add(group_index)

    def flush(self) -> None:
        """One write a group, however much was sent."""
        for index in self._unflushed:
            link = self._links[index]
            if link is not None:
                link.flush()
        self._unflushed.clear()

    def hear(self, group_index: int, beat: Beat) -> None:
        self._beats[group_index] = beat

    def beat_of(self, group_index: int) -> Beat | None:
        """None: it has said nothing since it opened."""
        return self._beats[group_index]
