"""What serving with pages took: steps, preemptions, prefixes found, places that held nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class GenerationStatistics:
    """Totals since the start, of one model on one group or of several.

    num_tokens: computed; num_emitted: sent; num_swapped: preemptions that went to the host; num_recomputed:
    tokens whose keys and values were lost to others; num_hit: prompt tokens found in the cache of prefixes;
    num_sequence_steps: sequences, summed over steps; max_sequences: running at once on a group; num_held,
    num_stored: places in the pages of a step's sequences, and the tokens in them at its end, summed over
    steps.
    """

    num_steps: int = 0
    num_tokens: int = 0
    num_emitted: int = 0
    num_admitted: int = 0
    num_preempted: int = 0
    num_swapped: int = 0
    num_recomputed: int = 0
    num_hit: int = 0
    num_sequence_steps: int = 0
    max_sequences: int = 0
    num_held: int = 0
    num_stored: int = 0

    @property
    def waste(self) -> float:
        """Share of the places in pages that held nothing; 0 before the first step."""
        return 1.0 - self.num_stored / self.num_held if self.num_held else 0.0

    @property
    def mean_sequences(self) -> float:
        """Sequences of a step; 0 before the first."""
        return self.num_sequence_steps / self.num_steps if self.num_steps else 0.0

    def add(self, other: GenerationStatistics) -> None:
        """These and those together."""
        most = max(self.max_sequences, other.max_sequences)
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        self.max_sequences = most
