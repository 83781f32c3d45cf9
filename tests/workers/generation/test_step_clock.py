"""Times of steps as a clock beside the engine sees them, and what the fit makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from simulator.generation.step_times import fit_step_times
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import ModelSpec, Workload
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.parallel import ParallelConfig
from workers.emulated_engine import EmulatedEngine
from workers.generation.step_clock import StepMarks, TimedEngine, stage_times_s
from workers.generation.step_samples import group_alone, served_rounds, typical_steps
from workers.generation.step_traffic import drawn_crowds

LIMITS = GenerationLimits(num_pages=64, page_tokens=4, max_batched_tokens=16, max_sequences=6)
WORKLOAD = Workload(0.0, input_tokens=24, output_tokens=10)


def marks(start_s: float, *ends_s: float, tokens: int = 1) -> StepMarks:
    return StepMarks(tokens, 0, start_s, ends_s[:-1], ends_s[-1])


def test_what_goes_by_between_two_steps_is_in_the_second():
    steps = [marks(0.0, 1.0), marks(1.25, 2.0), marks(1.9, 3.0)]
    assert stage_times_s(steps) == [(1.0,), (0.75,), (1.0,)]


def test_waiting_for_a_stage_is_no_work():
    steps = [marks(0.0, 1.0, 4.0), marks(1.0, 2.0, 6.0)]
    assert stage_times_s(steps) == [(1.0, 3.0), (1.0, 2.0)]


def test_a_pause_of_the_machine_in_one_round_does_not_show():
    quick, paused = marks(0.0, 1.0), marks(0.0, 9.0)
    (sample,) = typical_steps([[quick], [paused], [quick], [quick], [quick]])
    assert sample.stages_s == (1.0,)


def test_steps_that_came_in_one_round_alone_are_left_out():
    rounds = [[marks(0.0, 1.0), marks(1.0, 2.0, tokens=7)], [marks(0.0, 1.0)]]
    assert [one.num_tokens for one in typical_steps(rounds)] == [1]


@pytest.mark.parametrize("seed", range(3))
def test_crowds_fit_the_model_and_its_pages(seed: int):
    sizes = set()
    for crowd in drawn_crowds(LIMITS, WORKLOAD, max_model_len=100, seed=seed):
        sizes.add(len(crowd))
        for one in crowd:
            assert one.num_prompt >= 1 and one.num_answer >= 1
            assert one.num_prompt + one.num_answer <= 100
            assert LIMITS.can_ever_run(one.num_prompt, one.num_answer)
    assert min(sizes) == 1 and max(sizes) > LIMITS.max_sequences


@pytest.mark.parametrize("num_stages", [1, 2])
def test_the_fit_finds_the_step_times_of_an_engine_that_has_them(num_stages: int):
    """The whole way of a profile: crowds, the group's own shell, the clock, the fit."""
    times = (StepTimes(0.003, 0.0001, 2e-6), StepTimes(0.002, 0.0002, 1e-6))[:num_stages]
    samples = typical_steps(emulated_rounds(times))
    for stage, expected in enumerate(times):
        rows = [(one.num_tokens, one.num_kv_tokens, one.stages_s[stage]) for one in samples]
        fit = fit_step_times(*np.array(rows).T)
        found = fit.times
        assert found.constant_s == pytest.approx(expected.constant_s, rel=1e-3)
        assert found.token_s == pytest.approx(expected.token_s, rel=1e-3)
        assert found.kv_token_s == pytest.approx(expected.kv_token_s, rel=1e-3)
        assert fit.r2 > 0.999


def emulated_rounds(times: tuple[StepTimes, ...]) -> Sequence[Sequence[StepMarks]]:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_served(loop, times))
    finally:
        loop.close()


async def _served(loop: VirtualLoop, times: tuple[StepTimes, ...]) -> Sequence[Sequence[StepMarks]]:
    config = ParallelConfig(1, len(times))
    model = ModelSpec("chat", source="random://llama-tiny")
    spec = group_alone(model, config, LIMITS, times)
    emulated = EmulatedEngine(spec.group, catalog=spec.catalog, loop=loop, limits=spec.limits)
    engine = TimedEngine(emulated, num_stages=config.pipeline, loop=loop)
    crowds = drawn_crowds(LIMITS, WORKLOAD, max_model_len=100, seed=0)
    return await served_rounds(engine, spec, crowds, num_rounds=2)
