"""A trace: who asked for which model when. Columns are numpy, never request objects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tokens:
    """How long the requests of a trace are, for models that generate.

    input_tokens, output_tokens: int32 [requests]; a request with no output tokens is one-shot.
    prefix_offsets: int64 [requests + 1] into prefix_hashes: int64 [blocks], the chained hashes of the full
    blocks of each request's prompt (equal hashes mean equal prompts up to there); None when unknown.
    block_tokens: tokens that one hash stands for (Mooncake: 512).
    """

    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    prefix_offsets: NDArray[np.int64] | None = None
    prefix_hashes: NDArray[np.int64] | None = None
    block_tokens: int = 512

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Tokens:
        """The requests of `rows` (indices or a mask), in that order."""
        inputs, outputs = self.input_tokens[rows], self.output_tokens[rows]
        if self.prefix_offsets is None or self.prefix_hashes is None:
            return Tokens(inputs, outputs, block_tokens=self.block_tokens)
        starts, stops = self.prefix_offsets[:-1][rows], self.prefix_offsets[1:][rows]
        sizes = stops - starts
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        # Position in the old array of every block that stays: its request's start, and how far into it.
        old = np.repeat(starts - offsets[:-1], sizes) + np.arange(int(offsets[-1]))
        return Tokens(inputs, outputs, offsets, self.prefix_hashes[old], self.block_tokens)


@dataclass(frozen=True, slots=True)
class Tenants:
    """Whose each request of a trace is: index int32 [requests] into `names`; "" is nobody in particular."""

    index: NDArray[np.int32]
    names: tuple[str, ...]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Tenants:
        """Of the requests of `rows` (indices or a mask), with the same names."""
        return Tenants(self.index[rows], self.names)


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in arrival order: seconds from 0, and an index into `models` for each.

    arrival_s: float64 [requests], non-decreasing; model_index: int32 [requests]; tokens: None when the
    requests are one-shot; tenants: None when the trace does not say whose they are.
    """

    arrival_s: NDArray[np.float64]
    model_index: NDArray[np.int32]
    models: tuple[str, ...]
    tokens: Tokens | None = None
    tenants: Tenants | None = None

    def __post_init__(self) -> None:
        assert self.arrival_s.shape == self.model_index.shape, (self.arrival_s.shape, self.model_index.shape)
        assert np.all(self.arrival_s[1:] >= self.arrival_s[:-1]), "arrivals must not go back in time"
        assert self.tokens is None or self.tokens.input_tokens.shape == self.arrival_s.shape
        assert self.tenants is None or self.tenants.index.shape == self.arrival_s.shape

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """From the first to the last arrival."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    def counts(self) -> NDArray[np.int64]:
        """Requests of each model [models]."""
        return np.bincount(self.model_index, minlength=len(self.models))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Trace:
        """The requests of `rows` (ascending indices, or a mask), with the same models."""
        tokens = None if self.tokens is None else self.tokens.take(rows)
        tenants = None if self.tenants is None else self.tenants.take(rows)
        return Trace(self.arrival_s[rows], self.model_index[rows], self.models, tokens, tenants)

    def aligned_to(self, models: tuple[str, ...]) -> Trace:
        """The same requests indexed by `models`; a model of the trace that is not there raises KeyError."""
        position = {name: index for index, name in enumerate(models)}
        lookup = np.array([position[name] for name in self.models], dtype=np.int32)
        index = lookup[self.model_index] if len(lookup) else self.model_index
        return replace(self, model_index=index, models=models)
