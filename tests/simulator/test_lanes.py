"""Candidates in lanes against the scalar scorer: the same counts and the same sum, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import fast_kernel
from simulator.fast import Scorer
from simulator.fast_costs import Content, Layout
from simulator.fast_programs import compiled
from simulator.fast_source import counting_source
from simulator.lanes import LaneScorer, lanes_support
from tests.simulator.drawn_fleets import ARTIFACT, MODELS, Fleet, fleet_of, fleets
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Policy

POLICIES = st.builds(
    Policy,
    router=st.sampled_from(["shortest_expected_delay", "min_stage_clock"]),
    admission=st.sampled_from(["slo", "none"]),
    slack_s=st.sampled_from([0.0, 0.25]),
)
HELD = st.lists(st.integers(0, len(MODELS) - 1), unique=True)


@settings(deadline=None)
@given(
    fleet=fleets(policies=POLICIES, latencies=st.sampled_from([LatencyModel(), ARTIFACT])),
    trim_s=st.sampled_from([0.0, 1.0]),
    choice=st.data(),
)
def test_lanes_count_what_the_scalar_scorer_counts(
    fleet: Fleet, trim_s: float, choice: st.DataObject
) -> None:
    layout = layout_of(fleet)
    content = st.lists(HELD, min_size=len(layout), max_size=len(layout))
    assert_equal(fleet, layout, choice.draw(st.lists(content, min_size=1, max_size=20)), trim_s=trim_s)


@pytest.mark.parametrize("router", ["shortest_expected_delay", "min_stage_clock"])
@pytest.mark.parametrize("num_stages", [4, 5, 6, 8, 9])
def test_lanes_count_the_same_for_any_number_of_stages(num_stages: int, router: str) -> None:
    rng = np.random.default_rng(num_stages)
    fleet = random_pipelines(rng, [num_stages] * 5, router)
    assert_equal(fleet, layout_of(fleet), random_contents(rng, 5))


def test_groups_of_one_layout_may_differ_in_their_stages() -> None:
    rng = np.random.default_rng(0)
    fleet = random_pipelines(rng, [1, 8, 3, 2, 2], "shortest_expected_delay")
    assert_equal(fleet, layout_of(fleet), random_contents(rng, 5))


def test_a_model_that_a_lane_does_not_hold_is_neither_routed_nor_good_there() -> None:
    fleet = fleet_of(
        {"a": (None, [{1: (1.0,)}])}, [(1, "a")], [(0.0, "a"), (0.5, "a")], policy=Policy(admission="none")
    )
    nowhere, somewhere = LaneScorer(fleet.trace, deployment=fleet.deployment).tallies(
        layout_of(fleet), [[[]], [[0]]]
    )
    assert (nowhere.num_good.tolist(), nowhere.num_routed.tolist(), nowhere.total_latency_s) == ([0], [0], 0)
    assert (somewhere.num_good.tolist(), somewhere.num_routed.tolist()) == ([2], [2])
    assert somewhere.total_latency_s == 1.0 + 1.5


def test_two_threads_count_the_same_in_the_same_order() -> None:
    rng = np.random.default_rng(7)
    fleet = random_pipelines(rng, [2] * 5, "shortest_expected_delay")
    assert_equal(fleet, layout_of(fleet), random_contents(rng, 5, num=70), num_threads=2)


def test_lanes_say_which_policies_they_do_not_know() -> None:
    fleet = random_pipelines(np.random.default_rng(0), [1], "shortest_expected_delay")

    def supported(policy: Policy) -> bool:
        return lanes_support(replace(fleet.deployment, policy=policy), num_requests=10_000)

    assert supported(Policy())
    assert supported(Policy(router="min_stage_clock", admission="none"))
    assert not supported(Policy(router="least_loaded"))
    assert not supported(Policy(router="round_robin"))
    assert not supported(Policy(queue="edf"))
    assert not supported(Policy(batching="deadline"))
    assert not supported(Policy(slack_s=-1.0))
    # With admission by SLO, a queue of this fleet cannot get that long.
    assert supported(Policy(max_queued_requests=9_999))
    assert not supported(Policy(max_queued_requests=9_999, admission="none"))


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    compiled = [misses_of_a_process(tmp_path) for _ in range(3)]
    assert compiled == ["1 1", "0 0", "0 0"]


def test_columns_that_may_not_be_written_to_need_no_program_of_their_own() -> None:
    fleet = random_pipelines(np.random.default_rng(0), [1], "shortest_expected_delay")
    scorer = Scorer(fleet.trace, deployment=fleet.deployment)
    scorer.tally(layout_of(fleet), [[0]])
    count = compiled(counting_source(1), inlined=(fast_kernel,))
    num_signatures = len(count.signatures)
    fleet.trace.arrival_s.flags.writeable = False
    scorer.tally(layout_of(fleet), [[0]])
    assert len(count.signatures) == num_signatures


def test_processes_that_start_at_once_do_not_spoil_each_others_programs(tmp_path: Path) -> None:
    running = [start(tmp_path, COUNTING) for _ in range(3)]
    assert [process.communicate(timeout=120)[1] for process in running] == [""] * 3
    assert misses_of_a_process(tmp_path) == "0 0"


def test_without_a_folder_to_write_to_programs_are_compiled_all_the_same(tmp_path: Path) -> None:
    program = """
import pathlib, shutil
from simulator import fast_kernel
folder = pathlib.Path(fast_kernel.replay.stats.cache_path)
shutil.rmtree(folder, ignore_errors=True)
folder.parent.mkdir(parents=True, exist_ok=True)
folder.write_text("no folder")
"""
    process = start(tmp_path, program + COUNTING)
    assert process.communicate(timeout=120) == ("1 1\n", "")


# Prints how many programs were compiled for the lanes and for the scalar scorer.
COUNTING = """
import numpy as np
from simulator.fast import Scorer
from simulator.fast_programs import _loaded
from simulator.lanes import LaneScorer
from tests.simulator.drawn_fleets import fleet_of
from vocabulary.deployment import Policy

fleet = fleet_of({"a": (1.0, [{1: (1.0,)}])}, [(1, "a")], [(0.0, "a")], policy=Policy())
layout = tuple(group.config for group in fleet.placement.groups)
LaneScorer(fleet.trace, deployment=fleet.deployment).tallies(layout, [[[0]]])
Scorer(fleet.trace, deployment=fleet.deployment).tally(layout, [[0]])
print(*(sum(program.stats.cache_misses.values()) for program in _loaded.values()))
"""


def misses_of_a_process(folder: Path) -> str:
    output, errors = start(folder, COUNTING).communicate(timeout=120)
    assert errors == ""
    return output.strip()


def start(folder: Path, program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder / "kept")},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def layout_of(fleet: Fleet) -> Layout:
    return tuple(group.config for group in fleet.placement.groups)


def random_pipelines(rng: np.random.Generator, stage_counts: Sequence[int], router: str) -> Fleet:
    """Overloaded now and then, so that some requests are refused."""
    models = {
        name: (
            4.0,
            [{1: tuple(rng.uniform(0.1, 0.9, stages).tolist())} for stages in sorted(set(stage_counts))],
        )
        for name in MODELS
    }
    arrivals_s = rng.gamma(0.3, 0.8, 500).cumsum().tolist()
    asks = [(arrival_s, str(rng.choice(MODELS))) for arrival_s in arrivals_s]
    return fleet_of(models, [(stages, "") for stages in stage_counts], asks, policy=Policy(router=router))


def random_contents(rng: np.random.Generator, num_groups: int, *, num: int = 19) -> list[Content]:
    sizes = rng.integers(0, len(MODELS) + 1, (num, num_groups))
    return [[rng.permutation(len(MODELS))[:size].tolist() for size in row] for row in sizes]


def assert_equal(
    fleet: Fleet,
    layout: Layout,
    contents: Sequence[Content],
    *,
    trim_s: float = 0.0,
    num_threads: int = 1,
) -> None:
    scalar = Scorer(fleet.trace, deployment=fleet.deployment, trim_s=trim_s)
    lanes = LaneScorer(fleet.trace, deployment=fleet.deployment, trim_s=trim_s)
    tallies = lanes.tallies(layout, contents, num_threads=num_threads)
    assert len(tallies) == len(contents)
    for ours, content in zip(tallies, contents, strict=True):
        expected = scalar.tally(layout, content)
        np.testing.assert_array_equal(ours.num_good, expected.num_good)
        np.testing.assert_array_equal(ours.num_routed, expected.num_routed)
        np.testing.assert_array_equal(ours.num_requests, expected.num_requests)
        assert ours.total_latency_s == expected.total_latency_s
