"""What pages save: places that hold nothing, and sequences that run at once (PagedAttention §6.2).

On real lengths where they are there, on lognormal ones always. An engine that reserves takes room for the
longest context at admission, whatever the answer will be; where it stops is told by the same engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from scheduling.generation import GenerationScheduler
from scheduling.queueing import ORDERS
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.request import Request

LENGTHS = Path(__file__).parents[3] / "shared" / "data" / "traces" / "azure_llm_2023" / "conv.parquet"
NUM_REQUESTS = 1000
# Keys and values of 65,536 tokens: 8 GiB at 128 KiB a token.
NUM_TOKENS = 65_536


@dataclass(frozen=True)
class Lengths:
    """int64 [requests]; context_tokens: the longest prompt and answer that the model takes together."""

    inputs: np.ndarray
    outputs: np.ndarray
    context_tokens: int


def conversations() -> Lengths:
    """Of Azure's LLM service in 2023."""
    if not LENGTHS.is_file():
        pytest.skip(f"{LENGTHS} is not there")
    table = pyarrow.parquet.read_table(LENGTHS).slice(0, NUM_REQUESTS)
    inputs, outputs = table["input_tokens"].to_numpy(), table["output_tokens"].to_numpy()
    return Lengths(inputs, outputs, int((inputs + outputs).max()))


def lognormal() -> Lengths:
    """Medians of Azure's conversations, 928 tokens in and 215 out, cut off at a context of 4096."""
    generator = np.random.default_rng(4)
    inputs = np.clip(generator.lognormal(np.log(928), 0.9, NUM_REQUESTS), 1, 3000).astype(np.int64)
    outputs = np.clip(generator.lognormal(np.log(215), 0.7, NUM_REQUESTS), 1, 1000).astype(np.int64)
    return Lengths(inputs, outputs, 4096)


def served(lengths: Lengths, *, page_tokens: int, reserves: bool = False) -> GenerationStatistics:
    """All requests at once; each may say as much as the context leaves, and stops where its length is."""
    limits = GenerationLimits(
        NUM_TOKENS // page_tokens, page_tokens, max_sequences=NUM_REQUESTS, reserves_output=reserves
    )
    scheduler = GenerationScheduler(limits, order=ORDERS["fcfs"])
    for index, num_input in enumerate(lengths.inputs.tolist()):
        most = max(lengths.context_tokens - num_input, 1)
        scheduler.push(Request(index, "m", 0.0, input_tokens=num_input, output_tokens=most))
    outputs = lengths.outputs.tolist()
    while (step := scheduler.next_step()) is not None:
        stopped = [
            (one.request.id, 0) for one in step.sequences if one.num_emitted + 1 == outputs[one.request.id]
        ]
        scheduler.finish(step, stopped=stopped)
    assert scheduler.statistics.num_emitted == lengths.outputs.sum()
    return scheduler.statistics


@pytest.mark.parametrize("lengths", [conversations, lognormal])
def test_pages_of_16_tokens_waste_less_than_4_percent(lengths) -> None:
    statistics = served(lengths(), page_tokens=16)
    print(f"{lengths.__name__}: {statistics.waste:.2%} of places empty at 16 tokens a page")
    assert statistics.waste < 0.04


@pytest.mark.parametrize("lengths", [conversations, lognormal])
def test_at_least_twice_as_many_sequences_run_as_with_the_context_reserved(lengths) -> None:
    found = lengths()
    paged, static = served(found, page_tokens=16), served(found, page_tokens=16, reserves=True)
    ratio = paged.mean_sequences / static.mean_sequences
    print(
        f"{lengths.__name__}: {paged.mean_sequences:.1f} sequences a step, {static.mean_sequences:.1f} with "
        f"{found.context_tokens} tokens reserved: {ratio:.2f} times; {static.waste:.1%} of those empty"
    )
    assert static.num_preempted == 0
    assert ratio >= 2


def test_smaller_pages_waste_less() -> None:
    wastes = [served(lognormal(), page_tokens=size).waste for size in (8, 16, 32, 128)]
    print("lognormal, pages of 8, 16, 32, 128 tokens:", *(f"{waste:.2%}" for waste in wastes))
    assert wastes == sorted(wastes)
