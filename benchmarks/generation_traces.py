"""What benchmarks/generation_simulator.py asks for: real lengths, or drawn ones like them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from vocabulary.trace import Tokens

# Of the Azure conversations of 2023.
_MEAN_INPUT, _MEAN_OUTPUT = 1237, 221
_BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Asked:
    """arrival_s: float64 [requests]."""

    arrival_s: NDArray[np.float64]
    tokens: Tokens

    def head(self, num_requests: int) -> Asked:
        rows = np.arange(min(num_requests, len(self.arrival_s)))
        return Asked(self.arrival_s[rows], self.tokens.take(rows))


def conversations(data: Path | None, num_requests: int, rate_rps: float) -> Asked:
    """Lengths drawn from the Azure conversations, Poisson arrivals."""
    random = np.random.default_rng(0)
    if data is None:
        inputs = random.lognormal(np.log(_MEAN_INPUT) - 0.5, 1.0, num_requests).clip(1, 14_000)
        outputs = random.lognormal(np.log(_MEAN_OUTPUT) - 0.3, 0.77, num_requests).clip(1, 1_000)
    else:
        rows = pyarrow.parquet.read_table(data / "traces" / "azure_llm_2023" / "conv.parquet")
        drawn = random.integers(0, rows.num_rows, num_requests)
        inputs, outputs = rows["input_tokens"].to_numpy()[drawn], rows["output_tokens"].to_numpy()[drawn]
    arrival_s = np.cumsum(random.exponential(1.0 / rate_rps, num_requests))
    return Asked(arrival_s, Tokens(inputs.astype(np.int32), outputs.astype(np.int32)))


def documents(data: Path | None, num_requests: int, rate_rps: float) -> Asked:
    """The Mooncake conversations as often as needed, each time about other documents; Poisson arrivals."""
    random = np.random.default_rng(0)
    if data is None:
        # Prompts of 1 to 20 blocks that go on where one of eight others began.
        sizes = random.integers(1, 21, 5_000)
        inputs, outputs = sizes * _BLOCK_TOKENS + 100, random.integers(1, 600, len(sizes))
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        hashes = place * 5_000 + np.repeat(
            random.integers(0, 8, len(sizes)) + np.arange(len(sizes)) // 50, sizes
        )
    else:
        path = data / "traces" / "mooncake_fast25" / "conversation_trace.parquet"
        rows = pyarrow.parquet.read_table(path)
        inputs, outputs = rows["input_tokens"].to_numpy(), rows["output_tokens"].to_numpy()
        blocks = rows["hash_ids"].combine_chunks()
        sizes, hashes = np.diff(blocks.offsets.to_numpy()), blocks.values.to_numpy()
    num_copies = -(-num_requests // len(inputs))
    copies = np.repeat(np.arange(num_copies), len(hashes)) * (int(hashes.max()) + 1)
    tokens = Tokens(
        np.tile(inputs, num_copies).astype(np.int32),
        np.tile(outputs, num_copies).astype(np.int32),
        np.concatenate([[0], np.cumsum(np.tile(sizes, num_copies))]),
        np.tile(hashes, num_copies) + copies,
        _BLOCK_TOKENS,
    )
    arrival_s = np.cumsum(random.exponential(1.0 / rate_rps, len(tokens.input_tokens)))
    return Asked(arrival_s, tokens)
