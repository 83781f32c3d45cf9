"""The front ends that a group answers: a link each, and what each is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from vocabulary.sampling import SampledToken
from vocabulary.tensors import Tensor
from workers.frames import AtWork, Header, Tokens
from workers.link import Link


@dataclass(slots=True, eq=False)
class Front:
    """One front end as long as it has this link; nothing is sent to it afterwards.

    clock_offset_s: our clock less its own; exactly 0 on the same host, where both read the same clock.
    """

    number: int
    link: Link
    clock_offset_s: float = 0.0
    is_linked: bool = True

    def send(self, header: Header, tensors: tuple[Tensor, ...] = ()) -> None:
        if self.is_linked:
            self.link.send(header, tensors)


@final
class Fronts:
    """By number. One that comes again takes the place of the one before, whose requests it does not know."""

    def __init__(self) -> None:
        self._fronts: dict[int, Front] = {}

    def __iter__(self) -> Iterator[Front]:
        return iter(tuple(self._fronts.values()))

    def __len__(self) -> int:
        return len(self._fronts)

    def __getitem__(self, number: int) -> Front | None:
        return self._fronts.get(number)

    def add(self, front: Front) -> None:
        assert front.number not in self._fronts, front.number
        self._fronts[front.number] = front

    def remove(self, front: Front) -> None:
        """It is told no more."""
        front.is_linked = False
        if self._fronts.get(front.number) is front:
            del self._fronts[front.number]

    def tell_all(self, header: Header) -> None:
        for front in self._fronts.values():
            front.link.send(header)

    def flush(self) -> None:
        """One write a front end, however much was sent."""
        for front in self:
            front.link.flush()


def tell_at_work(asked: Sequence[tuple[int, Front]]) -> None:
    """Tell every front end which of its requests the group has begun to work on."""
    by_front: dict[Front, list[int]] = {}
    for request_id, front in asked:
        by_front.setdefault(front, []).append(request_id)
    for front, request_ids in by_front.items():
        front.send(AtWork(tuple(request_ids)))


def tell_tokens(tokens: Sequence[SampledToken], fronts: Sequence[Front]) -> None:
    """Tell every front end the tokens of its requests. fronts: for each token, whose it is."""
    by_front: dict[Front, list[SampledToken]] = {}
    for token, front in zip(tokens, fronts, strict=True):
        by_front.setdefault(front, []).append(token)
    for front, own in by_front.items():
        front.send(Tokens(tuple(own)))
