"""A group that holds models that generate beside one-shot ones, command by command."""

from __future__ import annotations

from scheduling.group import GroupScheduler
from tests.simulator.generating_fleets import fleet, generating, groups, one_shot
from vocabulary.generation import Prefix, StepTimes
from vocabulary.messages import (
    NO_MOVES,
    Arrived,
    Batch,
    BatchFinished,
    Cancelled,
    GroupCommand,
    GroupEvent,
    RunBatch,
    Settle,
    Slice,
    StageFreed,
    TellFirstToken,
)
from vocabulary.page_budget import generation_limits
from vocabulary.request import Fate, Request


def machine(
    *, num_stages: int = 1, admission: str = "none", tells_pages: bool = False, **settings
) -> GroupScheduler:
    settings = {"times": StepTimes(1.0, 0.0), **settings}
    deployment = fleet(generating(**settings), one_shot(), admission=admission)
    group = groups("chat embed" if num_stages == 1 else "chat", num_stages=num_stages).groups[0]
    limits = generation_limits(group, deployment)
    return GroupScheduler(
        group,
        catalog=deployment.catalog(),
        policy=deployment.policy,
        limits=limits,
        tells_pages=tells_pages,
    )


def chat(request_id: int, arrival_s: float = 0.0, *, lengths: tuple[int, int] = (4, 3), **fields) -> Arrived:
    input_tokens, output_tokens = lengths
    found = {"input_tokens": input_tokens, "output_tokens": output_tokens, **fields}
    return Arrived(Request(request_id, "chat", arrival_s, **found))


def after(group: GroupScheduler, now_s: float, *events: GroupEvent) -> list[GroupCommand]:
    for event in events:
        group.observe(event)
    return group.decide(now_s)


def started(commands: list[GroupCommand]) -> tuple[list[int], tuple[int, ...], int]:
    """Of the one batch that starts: request ids, tokens of each, tokens cached."""
    (batch,) = (command.batch for command in commands if isinstance(command, RunBatch))
    return [request.id for request in batch.requests], batch.tokens, batch.num_kv_tokens


def test_a_step_carries_its_slices_and_what_is_cached() -> None:
    group = machine()
    assert started(after(group, 0.0, chat(0), chat(1, lengths=(14, 1)))) == ([0, 1], (4, 12), 0)
    assert started(after(group, 1.0, BatchFinished(0), StageFreed())) == ([0, 1], (1, 2), 16)


def test_first_tokens_are_told_and_finished_requests_settled() -> None:
    group = machine()
    after(group, 0.0, chat(0, lengths=(4, 2)), chat(1, lengths=(4, 1)))
    told, settled, _ = after(group, 1.0, BatchFinished(0), StageFreed())
    assert told == TellFirstToken((0, 1))
    assert settled == Settle((1,), Fate.SERVED)
    assert after(group, 2.0, BatchFinished(1), StageFreed()) == [Settle((0,), Fate.SERVED)]
    assert (group.num_running, group.num_waiting) == (0, 0)


def test_a_request_that_no_step_can_hold_is_settled_at_once() -> None:
    group = machine(num_pages=2)
    assert after(group, 0.0, chat(0, lengths=(9, 1))) == [Settle((0,), Fate.INVALID)]


def test_a_request_of_the_same_model_without_output_tokens_is_one_shot() -> None:
    group = machine()
    assert started(after(group, 0.0, chat(0, lengths=(4, 0)))) == ([0], (), 0)


def test_what_has_waited_longest_goes_next() -> None:
    group = machine()
    after(group, 0.0, chat(0))
    embed = Arrived(Request(1, "embed", 0.5))
    assert started(after(group, 1.0, embed, BatchFinished(0), StageFreed())) == ([1], (), 0)
    later = Arrived(Request(2, "embed", 1.5))
    assert started(after(group, 2.0, later, BatchFinished(1), StageFreed())) == ([0], (1,), 4)


def test_counts_are_of_both_kinds() -> None:
    group = machine(max_sequences=1)
    after(group, 0.0, chat(0), chat(1), Arrived(Request(2, "embed", 0.0)))
    # The tie at 0 goes to the one-shot request.
    assert (group.num_running, group.num_waiting) == (1, 2)
    assert group.waiting_by_model() == {"chat": 2, "embed": 0}


def test_a_cancelled_request_leaves_at_once_or_with_its_step() -> None:
    group = machine(max_sequences=1)
    after(group, 0.0, chat(0), chat(1))
    assert after(group, 0.5, Cancelled(1), Cancelled(0)) == [Settle((1,), Fate.CANCELLED)]
    assert after(group, 1.0, BatchFinished(0), StageFreed()) == [Settle((0,), Fate.CANCELLED)]
    assert (group.num_running, group.num_waiting) == (0, 0)


def test_a_failed_step_settles_all_of_its_requests_and_others_go_on() -> None:
    group = machine(max_sequences=2)
    after(group, 0.0, chat(0), chat(1), chat(2))
    commands = after(group, 1.0, BatchFinished(0, failed=True), StageFreed())
    assert commands[0] == Settle((0, 1), Fate.FAILED)
    assert started(commands) == ([2], (4,), 0)


def test_steps_overlap_in_a_pipeline() -> None:
    group = machine(num_stages=2)
    after(group, 0.0, chat(0, lengths=(4, 3)), chat(1, lengths=(4, 3)))
    assert after(group, 1.0, StageFreed()) == []
    commands = after(group, 2.0, BatchFinished(0))
    assert started(commands) == ([0], (1,), 4)
    assert started(after(group, 3.0, StageFreed())) == ([1], (1,), 4)


def test_a_head_that_would_be_late_even_alone_is_dropped_before_it_begins() -> None:
    group = machine(admission="slo", max_sequences=1)
    after(group, 0.0, chat(0, ttft_s=1.0), chat(1, ttft_s=1.5), chat(2, ttft_s=9.0))
    commands = after(group, 1.0, BatchFinished(0), StageFreed())
    assert commands[1] == Settle((1,), Fate.SLO_INFEASIBLE)
    assert started(commands) == ([0], (1,), 4)


def test_statistics_are_those_of_each_model() -> None:
    group = machine()
    after(group, 0.0, chat(0, lengths=(4, 1)))
    after(group, 1.0, BatchFinished(0), StageFreed())
    assert group.generation_statistics["chat"].num_emitted == 1


def batch_of(commands: list[GroupCommand]) -> Batch:
    (batch,) = (command.batch for command in commands if isinstance(command, RunBatch))
    return batch


def test_batches_for_a_real_engine_say_pages_and_moves() -> None:
    group = machine(tells_pages=True, num_pages=10)
    batch = batch_of(after(group, 0.0, chat(0, lengths=(6, 9), num_samples=2), chat(1, lengths=(11, 9))))
    assert batch.slices == (Slice(0, 0, 0, 6, (1, 0), 2), Slice(1, 0, 0, 10, (4, 3, 2), 0))
    assert batch.moves == NO_MOVES
    batch = batch_of(after(group, 1.0, BatchFinished(0, stopped=((0, 1),)), StageFreed()))
    assert batch.slices == (Slice(0, 0, 6, 1, (1, 0), 1), Slice(1, 0, 10, 1, (4, 3, 2), 1))


def test_batches_say_nothing_of_pages_to_those_who_only_take_time() -> None:
    batch = batch_of(after(machine(), 0.0, chat(0)))
    assert (batch.slices, batch.moves) == ((), NO_MOVES)


def test_the_tuple_of_pages_is_made_anew_only_when_they_change() -> None:
    group = machine(tells_pages=True)
    batches = [batch_of(after(group, 0.0, chat(0, lengths=(3, 9))))]
    for number in range(3):
        batches.append(batch_of(after(group, number + 1.0, BatchFinished(number), StageFreed())))
    first, second, third, fourth = (batch.slices[0].pages for batch in batches)
    assert first is second
    assert third is fourth
    assert (first, third) == ((0,), (0, 1))


def test_answers_that_stop_are_served_and_their_full_pages_found_again() -> None:
    group = machine(tells_pages=True)
    after(group, 0.0, chat(0, lengths=(4, 9), prefix=Prefix((11,), 4)))
    for number in range(4):
        after(group, number + 1.0, BatchFinished(number), StageFreed())
    ended = BatchFinished(4, stopped=((0, 0),), full_pages=((0, 0, 1, 12),))
    assert after(group, 5.0, ended, StageFreed()) == [Settle((0,), Fate.SERVED)]
    batch = batch_of(after(group, 6.0, chat(1, lengths=(10, 1), prefix=Prefix((11, 12), 4))))
    assert batch.slices[0].start == 8


def test_a_prompt_that_is_in_time_only_by_what_the_cache_has_is_served() -> None:
    """Eight tokens take eight seconds, so an answer within six needs the two pages that it finds."""
    found = Prefix((1, 2), block_tokens=4)
    for prefix, fate in ((found, None), (Prefix((7, 8), block_tokens=4), Fate.SLO_INFEASIBLE)):
        group = machine(admission="slo", times=StepTimes(0.0, 1.0))
        after(group, 0.0, chat(0, lengths=(9, 1), prefix=found))
        after(group, 9.0, StageFreed(), BatchFinished(0))
        commands = after(group, 9.0, chat(1, 9.0, lengths=(9, 1), prefix=prefix, slo_s=6.0))
        settled = [command.fate for command in commands if isinstance(command, Settle)]
        assert settled == ([] if fate is None else [fate])
        assert any(isinstance(command, RunBatch) for command in commands) == (fate is None)
