"""The sequences of a generating model that run, and the places that they take."""

from __future__ import annotations

from typing import final

from scheduling.generation_sequence import Sequence


@final
class RunningSequences:
    """In order of admission; samples of one request stand together from their fork on."""

    __slots__ = ("num_promised", "sequences")

    def __init__(self) -> None:
        # Both read only: changed by the methods below.
        self.sequences: list[Sequence] = []
        # How many more there will be when those that have yet to fork do.
        self.num_promised = 0

    def admit(self, sequence: Sequence) -> None:
        """It stands for all its samples from now on."""
        self.sequences.append(sequence)
        self.num_promised += sequence.num_samples - 1

    def fork(self, sequence: Sequence, others: list[Sequence]) -> None:
        """The other samples run too, after the first."""
        self.num_promised -= len(others)
        sequence.num_samples = 1
        place = self.sequences.index(sequence) + 1
        self.sequences[place:place] = others

    def remove(self, sequence: Sequence) -> None:
        self.sequences.remove(sequence)
        self.num_promised -= sequence.num_samples - 1

    def remove_gone(self) -> None:
        """Those that have given their pages back run no more."""
        gone = [one for one in self.sequences if not one.pages]
        self.num_promised -= sum(one.num_samples - 1 for one in gone)
        self.sequences = [one for one in self.sequences if one.pages]

    def of_request(self, request_id: int) -> list[Sequence]:
        return [one for one in self.sequences if one.request.id == request_id]

    def last_to_give(self, sequence: Sequence) -> Sequence | None:
        """Who was admitted last, of `sequence` and those after it that are in no step.

        None when others after it are in steps. Their pages come sooner or later; if it gave up its own for
        them, two prompts could take turns for ever.
        """
        running = self.sequences
        if running[-1] is sequence:
            return sequence
        last = next(one for one in reversed(running) if not one.is_in_flight)
        return None if last is sequence else last
