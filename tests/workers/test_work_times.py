"""When stages worked on a request: noted only where it asks, on the clock of who asks, in order."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scheduling.group import GroupScheduler
from tests.virtual_loop import VirtualLoop
from tests.workers.emulated_group import spec_of
from tests.workers.goldens import load, read_golden
from tests.workers.group_visits import INPUT
from vocabulary.numpy_tensors import tensor_of
from vocabulary.sampling import GREEDY
from vocabulary.tensors import Tensor
from vocabulary.units import NEVER_S
from workers.emulated_engine import EmulatedEngine
from workers.frames import Done, Frame, GenerationAsk, Run, encode_frame, tensor_headers
from workers.link import memory_pair
from workers.server import GroupServer
from workers.stage_line import InFlight, StageLine
from workers.work_times import StageTime, StepsTime, Timesheet, WorkTimes, earlier, followed_by

PATIENCE_S = 20.0
PROMPT = (tensor_of("input_ids", np.asarray([5, 6, 7], np.int32)),)


def done_of(
    folder: Path, *runs: Run, inputs: tuple[Tensor, ...] = INPUT, generating: tuple[str, ...] = ()
) -> dict[int, Done]:
    """What a group of two stages of 0.1 and 0.3 s says of requests that come at once, 100 s after us."""
    loop = VirtualLoop()
    spec = spec_of(folder, {"m": (0.1, 0.3)}, generating=generating)
    engine = EmulatedEngine(spec.group, catalog=spec.catalog, loop=loop, limits=spec.limits)
    machine = GroupScheduler(
        spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
    )
    worker = GroupServer(
        machine, engine, loop=loop, soon=loop.soon(1), page_tokens=dict.fromkeys(generating, 16)
    )
    done: dict[int, Done] = {}
    all_done = loop.create_future()

    def hear(frame: Frame) -> None:
        if isinstance(frame.header, Done):
            done[frame.header.request_id] = frame.header
            if len(done) == len(runs):
                all_done.set_result(None)

    down, up = memory_pair(hear, worker.receive)
    worker.attach(up, clock_offset_s=-100.0)

    async def story() -> None:
        for run in runs:
            down.send(run, inputs)
        down.flush()
        async with asyncio.timeout(60.0):
            await all_done

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
    return done


def ask(number: int, *, inputs: tuple[Tensor, ...] = INPUT, **more: object) -> Run:
    return Run(number, "m", 100.0, NEVER_S, NEVER_S, tensor_headers(inputs), **more)


def stage(number: int, start_s: float, end_s: float, **more: bool) -> StageTime:
    return StageTime(number, pytest.approx(start_s), pytest.approx(end_s), **more)


def test_a_request_that_asks_is_told_when_each_stage_worked_by_its_own_clock(tmp_path: Path):
    done = done_of(tmp_path, ask(1), ask(2, is_timed=True))
    assert done[1].times is None
    # The second stage is free only when it is done with the first request.
    assert done[2].times == WorkTimes((stage(0, 100.1, 100.2), stage(1, 100.4, 100.7)))
    assert done[2].times.stages[-1].end_s == done[2].finish_s


def test_an_answer_of_many_tokens_tells_its_prompt_by_stages_and_the_rest_in_sum(tmp_path: Path):
    generation = GenerationAsk(4, 0, 1, GREEDY, NEVER_S, NEVER_S, "", None, ())
    (done,) = done_of(
        tmp_path,
        ask(1, inputs=PROMPT, is_timed=True, generation=generation),
        inputs=PROMPT,
        generating=("m",),
    ).values()
    assert done.times.stages == (stage(0, 100.0, 100.1), stage(1, 100.1, 100.4))
    prefill, decode = done.times.prefill, done.times.decode
    assert (prefill.start_s, prefill.end_s) == pytest.approx((100.0, 100.4))
    assert (decode.start_s, decode.end_s) == pytest.approx((100.4, 101.6))
    assert (prefill.num_steps, decode.num_steps) == (1, 3)
    assert decode.busy_s == pytest.approx((0.3, 0.9))


def test_of_a_prompt_in_many_pieces_the_first_steps_are_told_one_by_one():
    sheet = Timesheet()
    for step in range(20):
        sheet.note_step((stage_time(0, step), stage_time(1, step + 0.5)), draws=step == 19)
    told = sheet.told(offset_s=0.0)
    assert len(told.stages) == 16
    assert told.prefill == StepsTime(0.0, 20.0, 20, (10.0, 10.0))
    assert told.decode is None


def test_a_step_that_failed_leaves_nothing():
    sheet = Timesheet()
    sheet.note_step((), draws=True)
    assert sheet.told(offset_s=3.0) == WorkTimes()


def test_times_of_two_hosts_never_run_backwards():
    times = followed_by((StageTime(0, 1.0, 2.0),), StageTime(1, 1.9995, 2.4, is_transfer=True))
    assert times[-1] == StageTime(1, 2.0, 2.4, is_transfer=True)
    assert followed_by(times, StageTime(1, 2.1, 2.2))[-1] == StageTime(1, 2.4, 2.4)


def test_times_move_to_another_clock():
    assert earlier([StageTime(1, 7.0, 8.0, is_transfer=True)], 2.0) == (StageTime(1, 5.0, 6.0, True),)


def test_whoever_does_not_ask_sends_and_gets_no_byte_more_than_one():
    """The header of a Done ends with an absent value."""
    plain = encode_frame(Done(1, "served", 0.0, 1.0, 1, "", ()))[0]
    timed = encode_frame(Done(1, "served", 0.0, 1.0, 1, "", (), times=WorkTimes((StageTime(0, 0.0, 1.0),))))[
        0
    ]
    assert plain.endswith(b"\xc0")
    assert len(timed) > len(plain)


def test_a_line_of_stages_times_them_and_the_way_between_them(line: Callable[[InFlight], InFlight]):
    golden = read_golden("bert")
    model = load("bert", config=(1, 2), batch_buckets=(1, 8))
    model.compile()
    batch = model.pad([golden.requests[0]])
    assert line(InFlight(0, model, (batch,))).times is None
    times = line(InFlight(1, model, (batch,), times=())).times
    assert [(one.stage, one.is_transfer) for one in times] == [(0, False), (1, True), (1, False)]
    ends_s = [0.0, *(one.end_s for one in times)]
    assert all(before <= one.start_s <= one.end_s for before, one in zip(ends_s, times, strict=False))


@pytest.fixture
def line():
    left: queue.SimpleQueue = queue.SimpleQueue()
    made = StageLine(
        range(2), leave=left.put, freed=lambda job: None, failed=lambda job, stage, error: left.put(error)
    )

    def through(job: InFlight) -> InFlight:
        made.enter(job)
        return left.get(timeout=PATIENCE_S)

    yield through
    made.close()
    made.join()


def stage_time(stage: int, start_s: float) -> StageTime:
    return StageTime(stage, start_s, start_s + 0.5)
