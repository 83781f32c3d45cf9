"""Requests to padded batches of the few shapes that are compiled, and back. Numpy only.

Rows are padded on the right with id 0 and mask 0, and a batch with rows of nothing; what they compute is cut
off again. Legend: B rows, L tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vocabulary.errors import InvalidInput


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """One compiled shape."""

    batch_size: int
    sequence_length: int


@dataclass(frozen=True, slots=True)
class Buckets:
    """All compiled shapes: every batch size with every sequence length, both ascending."""

    batch_sizes: tuple[int, ...]
    sequence_lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        for sizes in (self.batch_sizes, self.sequence_lengths):
            assert sizes, "no bucket"
            assert sizes[0] >= 1, sizes
            assert list(sizes) == sorted(set(sizes)), sizes

    def __iter__(self) -> Iterator[Bucket]:
        return (Bucket(size, length) for size in self.batch_sizes for length in self.sequence_lengths)

    def fit(self, *, num_rows: int, length: int) -> Bucket:
        """The smallest bucket that holds so many rows of that length. Raises InvalidInput if none does."""
        self.check_length(length)
        self.check_rows(num_rows)
        return Bucket(
            self.batch_sizes[bisect_left(self.batch_sizes, num_rows)],
            self.sequence_lengths[bisect_left(self.sequence_lengths, length)],
        )

    def largest_for(self, batch_size: int) -> Bucket:
        """The bucket of `batch_size` rows at the longest sequence. Raises InvalidInput if none holds them."""
        return self.fit(num_rows=batch_size, length=self.sequence_lengths[-1])

    def check_length(self, length: int) -> None:
        if length > self.sequence_lengths[-1]:
            raise InvalidInput(
                f"{length} tokens are more than the longest bucket, {self.sequence_lengths[-1]}",
                hint="shorten the input, or add a longer sequence length to the model",
            )

    def check_rows(self, num_rows: int) -> None:
        if num_rows > self.batch_sizes[-1]:
            raise InvalidInput(
                f"{num_rows} rows are more than the largest bucket, {self.batch_sizes[-1]}",
                hint="send fewer rows at once, or add a larger batch size to the model",
            )


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request, checked: int32 ids, a mask that is true at tokens. `is_single`: without a batch dim."""

    ids_BL: np.ndarray
    mask_BL: np.ndarray
    is_single: bool

    @property
    def num_rows(self) -> int:
        return self.ids_BL.shape[0]

    @property
    def length(self) -> int:
        return self.ids_BL.shape[1]


@dataclass(frozen=True, slots=True)
class Rows:
    """Where one request lies in a batch."""

    first: int
    count: int
    length: int
    is_single: bool


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Requests side by side, on their way through the stages; `arrays` are the input of the next stage."""

    bucket: Bucket
    rows: tuple[Rows, ...]
    arrays: Mapping[str, object]


def pack(requests: Sequence[Prepared], buckets: Buckets) -> PaddedBatch:
    """Stack requests into the smallest bucket that holds them. Raises InvalidInput if none does."""
    assert requests, "an empty batch"
    num_rows = sum(request.num_rows for request in requests)
    bucket = buckets.fit(num_rows=num_rows, length=max(request.length for request in requests))
    shape = (bucket.batch_size, bucket.sequence_length)
    ids_BL, mask_BL = np.zeros(shape, np.int32), np.zeros(shape, bool)
    rows, first = [], 0
    for request in requests:
        place = (slice(first, first + request.num_rows), slice(request.length))
        ids_BL[place], mask_BL[place] = request.ids_BL, request.mask_BL
        rows.append(Rows(first, request.num_rows, request.length, request.is_single))
        first += request.num_rows
    return PaddedBatch(bucket, tuple(rows), {"input_ids": ids_BL, "attention_mask": mask_BL})


def unpack(output: np.ndarray, rows: Sequence[Rows], *, has_sequence: bool) -> list[np.ndarray]:
    """Each request's part of an output [B, L, ...] or, without a sequence, [B, ...]."""
    parts = []
    for one in rows:
        part = output[one.first : one.first + one.count]
        part = part[:, : one.length] if has_sequence else part
        parts.append(part[0] if one.is_single else part)
    return parts


def prepare_ids(request: Mapping[str, np.ndarray], *, vocab_size: int, takes_mask: bool) -> Prepared:
    """A request with `input_ids` and perhaps `attention_mask`, [L] or [B, L]. Raises InvalidInput."""
    check_names(request, required={"input_ids"}, optional={"attention_mask"} if takes_mask else set())
    ids = request["input_ids"]
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2) or ids.size == 0:
        raise InvalidInput(
            f"input_ids is {ids.dtype}{list(ids.shape)}; it must be whole numbers [length] or [rows, length]"
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise InvalidInput(f"input_ids go from {ids.min()} to {ids.max()}, outside 0 to {vocab_size - 1}")
    mask = request.get("attention_mask", np.ones_like(ids))
    if mask.shape != ids.shape or not np.isin(mask, (0, 1)).all():
        raise InvalidInput(
            f"attention_mask {list(mask.shape)} must be 0 and 1 in the shape of input_ids, {list(ids.shape)}"
        )
    return Prepared(np.atleast_2d(ids).astype(np.int32), np.atleast_2d(mask).astype(bool), ids.ndim == 1)


def prepare_texts(texts_ids: Sequence[np.ndarray], *, is_single: bool) -> Prepared:
    """Tokenised texts as one request, each a row."""
    shape = (len(texts_ids), max(map(len, texts_ids)))
    ids_BL, mask_BL = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for row, ids in enumerate(texts_ids):
        ids_BL[row, : len(ids)], mask_BL[row, : len(ids)] = ids, True
    return Prepared(ids_BL, mask_BL, is_single)


def check_names(request: Mapping[str, np.ndarray], *, required: set[str], optional: set[str]) -> None:
    """Raises InvalidInput if an input is missing or unknown."""
    missing, unknown = required - request.keys(), request.keys() - required - optional
    if missing or unknown:
        wrong = [f"{name} is missing" for name in sorted(missing)]
        wrong += [f"{name} is not an input" for name in sorted(unknown)]
        raise InvalidInput(f"{'; '.join(wrong)}; inputs are {', '.join(sorted(required | optional))}")
