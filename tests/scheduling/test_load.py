"""What the cluster believes of a group: predictions, and corrections by what is observed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.load import GroupLoad
from scheduling.pipeline import PipelineClock

ONE = (1.0,)


def load(*, num_stages: int = 1, taken: int = 0) -> GroupLoad:
    """A group that was given `taken` requests of a second each at time 0."""
    group = GroupLoad(0, num_stages)
    for _ in range(taken):
        group.take(0.0, (1.0,) * num_stages)
    return group


def test_a_group_starts_closed_and_idle() -> None:
    group = load()
    assert not group.is_open
    assert group.num_in_flight == 0
    assert group.clock.free_s == [0.0]


def test_taking_returns_the_predicted_end_and_counts() -> None:
    group = load(num_stages=2)
    assert [group.take(0.0, (1.0, 2.0)) for _ in range(2)] == [3.0, 5.0]
    assert group.num_in_flight == 2
    assert group.clock.free_s == [2.0, 5.0]


def test_a_completion_as_predicted_moves_nothing() -> None:
    group = load(taken=3)
    group.served(1.0)
    assert group.clock.free_s == [3.0]
    group.served(2.0)
    assert group.clock.free_s == [3.0]
    assert group.num_in_flight == 1


def test_a_late_completion_makes_the_rest_believed_late_by_as_much() -> None:
    group = load(taken=3)
    group.served(1.5)
    assert group.clock.free_s == [3.5]
    assert group.take(1.5, ONE) == 4.5


def test_an_early_completion_makes_the_rest_believed_early_by_as_much() -> None:
    group = load(taken=3)
    group.served(0.25)
    assert group.clock.free_s == [2.25]


def test_a_delay_is_corrected_once() -> None:
    group = load(taken=3)
    for finish_s in (1.5, 2.5):
        group.served(finish_s)
        assert group.clock.free_s == [3.5]


def test_a_batch_that_ends_at_once_leaves_the_clock_where_the_last_member_ended() -> None:
    group = load(taken=4)
    group.served(1.5)
    group.served(1.5)
    # Two of four are done at 1.5 instead of 2; the two others are half a second nearer too.
    assert group.clock.free_s == [3.5]


def test_completions_are_matched_by_order_whoever_they_are_of() -> None:
    group = GroupLoad(0, 1)
    group.take(0.0, (3.0,))
    group.take(0.0, (1.0,))
    # The short one overtook: it ends at 1, the long one at 4, when both were predicted to be done.
    group.served(1.0)
    assert group.clock.free_s == [2.0]
    group.served(4.0)
    assert group.clock.free_s == [4.0]


def test_a_dropped_request_gives_back_its_slowest_stage() -> None:
    group = GroupLoad(0, 2)
    for _ in range(3):
        group.take(0.0, (1.0, 2.0))
    assert group.clock.free_s == [3.0, 7.0]
    group.dropped(0.5, (1.0, 2.0))
    assert group.clock.free_s == [1.0, 5.0]
    assert group.num_in_flight == 2


def test_after_a_drop_the_others_end_as_predicted() -> None:
    group = load(taken=3)
    group.dropped(0.5, ONE)
    group.served(1.0)
    assert group.clock.free_s == [2.0]
    group.served(2.0)
    assert group.clock.free_s == [2.0]


def test_when_nothing_is_in_flight_no_stage_is_believed_taken() -> None:
    group = load(num_stages=2, taken=1)
    group.dropped(0.25, (1.0, 1.0))
    assert group.num_in_flight == 0
    assert max(group.clock.free_s) <= 0.25
    late = load(taken=1)
    late.served(9.0)
    assert late.clock.free_s == [9.0]


def test_a_lost_group_is_closed_and_empty() -> None:
    group = load(num_stages=2, taken=5)
    group.is_open = True
    group.lost()
    assert not group.is_open
    assert group.num_in_flight == 0
    assert group.clock.free_s == [0.0, 0.0]
    assert group.take(7.0, (1.0, 1.0)) == 9.0
    group.served(9.0)
    assert group.clock.free_s == [8.0, 9.0]


def test_a_lag_is_forgotten_when_the_group_is_idle() -> None:
    # It was kept: predictions less the lag, plus it again, differ in their last place. The clock
    # moved by that, and two equal groups did not tie any more.
    late, exact = load(taken=1), load()
    late.served(1.4)
    for start_s in (2.1, 3.7, 4.4, 5.9, 6.3, 8.8):
        for group in (late, exact):
            group.take(start_s, (0.1,))
            group.take(start_s, (0.1,))
            group.served(start_s + 0.1)
        assert late.clock.free_s == exact.clock.free_s
        for group in (late, exact):
            group.served(group.clock.last_s)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 2), st.floats(0.01, 2)), min_size=1, max_size=15),
    st.data(),
)
def test_exact_predictions_never_move_the_clocks(work, data) -> None:
    group, alone = GroupLoad(0, 2), PipelineClock(2)
    now_s, running_s = 0.0, []
    for gap_s, *stages_s in work:
        now_s += gap_s
        while running_s and running_s[0] <= now_s:
            group.served(running_s.pop(0))
        running_s.append(group.take(now_s, tuple(stages_s)))
        assert running_s[-1] == alone.occupy(now_s, tuple(stages_s))
    while running_s:
        group.served(running_s.pop(0))
        assert group.clock.free_s == alone.free_s
    assert group.num_in_flight == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from(("take", "served", "dropped", "lost")), max_size=40), st.data())
def test_what_comes_in_goes_out_whatever_happens(steps: list[str], data) -> None:
    group, now_s, num_held = GroupLoad(0, 1), 0.0, 0
    for step in steps:
        now_s += data.draw(st.floats(0, 2))
        if step == "take":
            group.take(now_s, ONE)
            num_held += 1
        elif step == "lost":
            group.lost()
            num_held = 0
        elif num_held:
            num_held -= 1
            if step == "served":
                group.served(now_s)
            else:
                group.dropped(now_s, ONE)
        assert group.num_in_flight == num_held
        if not num_held:
            assert group.clock.last_s <= now_s
