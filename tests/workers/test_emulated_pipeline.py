"""Stages in processes of their own: every byte arrives, and what overlaps does so in the right order."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from resharding.schedule_times import StageTimes
from resharding.schedules import SCHEDULES, Rows, Task, peak_in_flight, with_delayed_weights
from vocabulary.errors import RuntimeFailure
from workers.emulated_payloads import unpipelined
from workers.emulated_pipeline import EmulatedPipeline, Observed
from workers.emulated_stage import Entry

NUM_STAGES, NUM_MICRO_BATCHES = 3, 6
NIC_BYTES_PER_S = 10e6
# Short, as nothing here depends on how long it takes.
SHORT = StageTimes(1e-3, 2e-3, 1e-3)
SHORT_BYTES = 10_000
WAYS = [(name, is_delayed) for name in SCHEDULES for is_delayed in (False, True)][:-1]


@pytest.fixture(scope="module")
def pipeline() -> Iterator[EmulatedPipeline]:
    with EmulatedPipeline(NUM_STAGES, nic_bytes_per_s=NIC_BYTES_PER_S) as started:
        yield started


def rows_of(name: str, *, is_delayed: bool = False) -> Rows:
    rows = SCHEDULES[name](NUM_STAGES, NUM_MICRO_BATCHES)
    return with_delayed_weights(rows) if is_delayed else rows


@pytest.mark.parametrize("overlaps", [False, True], ids=["waits", "overlaps"])
@pytest.mark.parametrize(("name", "is_delayed"), WAYS)
def test_every_byte_arrives_in_the_order_of_the_table_and_memory_is_what_it_says(
    pipeline: EmulatedPipeline, name: str, is_delayed: bool, overlaps: bool
) -> None:
    rows = rows_of(name, is_delayed=is_delayed)
    observed = pipeline.run(rows, StageTimes(1e-3, 2e-3, 1e-3, overlaps=overlaps))
    oracle = unpipelined(NUM_STAGES, NUM_MICRO_BATCHES, SHORT_BYTES, has_backwards=name != "inference")
    assert tuple(stage.checksums for stage in observed.stages) == oracle
    assert tuple(stage.peak_in_flight for stage in observed.stages) == peak_in_flight(rows)
    for stage, row in zip(observed.stages, rows, strict=True):
        assert tuple(entry.task for entry in stage.entries if entry.action == "starts") == row


def test_an_eager_stage_computes_on_while_what_it_made_travels(pipeline: EmulatedPipeline) -> None:
    # A transfer takes 300 forwards: nobody can mistake one that has arrived for one under way.
    observed = pipeline.run(SCHEDULES["eager_1f1b"](NUM_STAGES, 3), StageTimes(1e-3, 2e-3, 0.3))
    first = observed.stages[0].entries
    assert [str(entry.task) for entry in first if entry.action == "starts"][:3] == ["F0", "F1", "F2"]
    assert _place(first, "starts", Task("F", 1)) < _place(first, "has sent", Task("F", 0))
    for task in (Task("F", 0), Task("F", 1)):
        # Two buffers: the second is filled while the first travels.
        assert _at_s(first, "ends", Task("F", 1)) < _at_s(observed.stages[1].entries, "takes", task)


def test_a_stage_that_does_not_overlap_waits_until_what_it_made_has_arrived(
    pipeline: EmulatedPipeline,
) -> None:
    observed = pipeline.run(rows_of("1f1b"), StageTimes(1e-3, 2e-3, 0.02, overlaps=False))
    for stage in observed.stages:
        for before, after in pairwise(stage.entries):
            if before.action == "sends":
                assert (after.action, after.task) == ("has sent", before.task)


def test_nothing_is_taken_before_it_was_sent(pipeline: EmulatedPipeline) -> None:
    observed = pipeline.run(rows_of("eager_1f1b", is_delayed=True), SHORT)
    for stage, other, kind in ((0, 1, "F"), (1, 2, "F"), (2, 1, "B"), (1, 0, "B")):
        for index in range(NUM_MICRO_BATCHES):
            task = Task(kind, index)
            sent_s = _at_s(observed.stages[stage].entries, "sends", task)
            assert sent_s <= _at_s(observed.stages[other].entries, "takes", task)


def test_a_gradient_travels_while_the_weights_gradient_is_computed(pipeline: EmulatedPipeline) -> None:
    observed = pipeline.run(rows_of("1f1b", is_delayed=True), SHORT)
    last = observed.stages[-1].entries
    for index in range(NUM_MICRO_BATCHES):
        assert _place(last, "sends", Task("B", index)) < _place(last, "starts", Task("W", index))


def test_spans_are_from_the_start_on_and_last_as_long_as_they_should(pipeline: EmulatedPipeline) -> None:
    observed = pipeline.run(rows_of("1f1b"), SHORT)
    _check_spans(observed)


@pytest.mark.skipif(sys.platform != "linux", reason="signals as on Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_stage_that_dies_or_stalls_ends_all(number: signal.Signals) -> None:
    with EmulatedPipeline(NUM_STAGES, nic_bytes_per_s=NIC_BYTES_PER_S, timeout_s=2.0) as pipeline:
        pipeline.run(rows_of("1f1b"), SHORT)
        pids = pipeline.process_ids
        pipeline.start(rows_of("1f1b"), StageTimes(0.2, 0.4, 0.1))
        os.kill(pids[1], number)
        with pytest.raises(RuntimeFailure, match=r"stage 1: it is gone, or does not answer") as caught:
            pipeline.finish()
        assert "transfer" in caught.value.message
        assert pipeline.process_ids == ()
        assert not any(_is_alive(pid) for pid in pids)


def _check_spans(observed: Observed) -> None:
    spans = observed.spans()
    assert len(spans) == NUM_STAGES * 2 * NUM_MICRO_BATCHES
    for (_, task), span in spans.items():
        assert span.end_s - span.start_s >= SHORT.task_s(task, is_split=False)
        assert 0 <= span.start_s < span.end_s <= observed.makespan_s


def _place(entries: tuple[Entry, ...], action: str, task: Task) -> int:
    return next(
        number for number, entry in enumerate(entries) if (entry.action, entry.task) == (action, task)
    )


def _at_s(entries: tuple[Entry, ...], action: str, task: Task) -> float:
    return entries[_place(entries, action, task)].at_s


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
