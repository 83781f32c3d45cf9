"""Reserving on real lengths: conversations of Azure's LLM service in 2023. More in `test_page_waste`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from simulator.generation.reference import Generated, generate
from vocabulary.generation import GenerationLimits, StepTimes

LENGTHS = Path(__file__).parents[3] / "shared" / "data" / "traces" / "azure_llm_2023" / "conv.parquet"
NUM_REQUESTS = 2000
# Keys and values of 65,536 tokens: 8 GiB at 128 KiB a token.
NUM_PAGES = 4096
PAGE_TOKENS = 16

pytestmark = pytest.mark.skipif(not LENGTHS.is_file(), reason=f"{LENGTHS} is not there")


def served(**limits) -> Generated:
    """All requests at once."""
    table = pyarrow.parquet.read_table(LENGTHS).slice(0, NUM_REQUESTS)
    inputs, outputs = table["input_tokens"].to_numpy(), table["output_tokens"].to_numpy()
    found = GenerationLimits(NUM_PAGES, PAGE_TOKENS, max_sequences=NUM_REQUESTS, **limits)
    times = StepTimes(0.01, 1e-5, 1e-8)
    return generate(np.zeros(NUM_REQUESTS), inputs, outputs, limits=found, times=times)


def test_reserving_what_each_answer_will_take_holds_fewer_sequences_than_growing() -> None:
    growing = served()
    reserving = served(reserves_output=True)
    assert reserving.statistics.num_preempted == 0
    assert reserving.statistics.waste > growing.statistics.waste
    assert reserving.statistics.mean_sequences < growing.statistics.mean_sequences
