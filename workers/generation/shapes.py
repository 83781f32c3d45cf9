"""The compiled shapes of a step of generation, and how its integers lie in one array.

A step is one ragged axis of tokens: rows of one token each, then tiles of tile_tokens tokens of one sequence.
Legend of array suffixes in this room, besides families/family.py: T tokens, S rows, C tiles, B tokens of a
tile, M columns of a table of pages, R draws (as many as rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vocabulary.generation import GenerationLimits

# For a lone row XLA copies all pages on CPUs: two rows take half as long.
LEAST_ROWS = 2
# Rows of mixed steps: few where few sequences run beside a prompt, else as many as there may be.
FEW_ROWS = 16
# A tile should neither be mostly padding nor read the cache for few queries.
MIN_TILE_TOKENS, MAX_TILE_TOKENS = 8, 64
# Into so many tiles a step of full length is cut, about.
TILES_OF_A_STEP = 32
# Tiles of one shape are so many times those of the shape before: what is padded is less than what is not, and
# a step takes about as long as its tokens say.
TILE_FACTOR = 2


@dataclass(frozen=True, slots=True, order=True)
class StepBucket:
    """One compiled shape."""

    num_rows: int
    num_tiles: int


@dataclass(frozen=True, slots=True)
class StepShapes:
    """All compiled shapes of one model, cheapest first, and what they have in common.

    num_columns: of every table: the pages of the longest context.
    """

    buckets: tuple[StepBucket, ...]
    tile_tokens: int
    num_columns: int
    num_pages: int
    page_tokens: int

    @property
    def padding_slot(self) -> int:
        """Beyond the pool: what is written there is dropped."""
        return self.num_pages * self.page_tokens

    def num_tokens(self, bucket: StepBucket) -> int:
        """Of the token axis."""
        return bucket.num_rows + bucket.num_tiles * self.tile_tokens

    def num_integers(self, bucket: StepBucket) -> int:
        """Of the array that holds a step."""
        rows, tiles = bucket.num_rows, bucket.num_tiles
        return 3 * self.num_tokens(bucket) + rows * (self.num_columns + 2) + tiles * (self.num_columns + 2)

    def view(self, bucket: StepBucket, integers: Any) -> StepArrays:
        """The parts of the one array of a step, of numpy or of JAX."""
        tokens, rows, tiles, columns = (
            self.num_tokens(bucket), bucket.num_rows, bucket.num_tiles, self.num_columns,
        )  # fmt: skip
        shapes = ((tokens,),) * 3 + ((rows, columns), (rows,), (rows,), (tiles, columns), (tiles,), (tiles,))
        parts, first = [], 0
        for shape in shapes:
            size = shape[0] * (shape[1] if len(shape) == 2 else 1)
            parts.append(integers[first : first + size].reshape(shape))
            first += size
        return StepArrays(*parts)


@dataclass(frozen=True, slots=True)
class StepArrays:
    """int32. slots: page * page_tokens + offset of each token; lengths: of a row's sequence, its token

    included, 0 of padding; starts, counts: of a tile, the position of its first token and how many are real;
    out: where on the token axis each draw looks.
    """

    ids_T: Any
    positions_T: Any
    slots_T: Any
    tables_SM: Any
    lengths_S: Any
    out_R: Any
    tables_CM: Any
    starts_C: Any
    counts_C: Any


def step_shapes(limits: GenerationLimits, *, max_model_len: int) -> StepShapes:
    """Rows in powers of two alone, tiles in powers of two beside few rows and beside all."""
    most_rows = max(LEAST_ROWS, _power_of_two(limits.max_sequences))
    tile_tokens = _tile_tokens(limits.max_batched_tokens)
    most_tiles = -(-limits.max_batched_tokens // tile_tokens)
    rows = [2**exponent for exponent in range(1, most_rows.bit_length())]
    tiles = [1]
    while tiles[-1] < most_tiles:
        tiles.append(min(tiles[-1] * TILE_FACTOR, most_tiles))
    mixed = {(count, beside) for count in tiles for beside in (min(FEW_ROWS, most_rows), most_rows)}
    buckets = [StepBucket(count, 0) for count in rows] + [
        StepBucket(beside, count) for count, beside in mixed
    ]
    return StepShapes(
        buckets=tuple(sorted(buckets, key=lambda one: (one.num_rows + one.num_tiles * tile_tokens, one))),
        tile_tokens=tile_tokens,
        num_columns=limits.pages_of(max_model_len),
        num_pages=limits.num_pages,
        page_tokens=limits.page_tokens,
    )


def _tile_tokens(max_batched_tokens: int) -> int:
    wanted = _power_of_two(-(-max_batched_tokens // TILES_OF_A_STEP))
    return max(MIN_TILE_TOKENS, min(MAX_TILE_TOKENS, wanted))


def _power_of_two(count: int) -> int:
    """The smallest that is not below."""
    return 1 << (count - 1).bit_length()
