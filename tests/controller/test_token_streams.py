"""What a call that is answered token by token can count on, on an emulated fleet and a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from controller.calls import Reason, Refusal
from controller.token_streams import Ended
from tests.controller.virtual_generation import STEP_S, VirtualFleet, greedy, heard, run
from vocabulary.deployment import Policy, Slo
from vocabulary.sampling import LENGTH, STOP

CANCELLED = Refusal(Reason.CANCELLED, "the request was cancelled")


def test_each_token_comes_as_its_step_ends_and_the_end_says_why() -> None:
    async def story(fleet: VirtualFleet) -> None:
        found = await heard(fleet, fleet.call((5, 6, 7), 4))
        assert found.of(0) == [5, 6, 7, 5]
        assert found.times_s == [STEP_S, 2 * STEP_S, 3 * STEP_S, 4 * STEP_S]
        assert found.end == Ended((LENGTH,), "g0", 0, 0.0)

    run(story)


def test_a_token_that_stops_ends_the_answer_unless_it_is_to_be_ignored() -> None:
    async def story(fleet: VirtualFleet) -> None:
        found = await heard(fleet, fleet.call((5, 6, 7), 9, sampling=greedy(stop_token_ids=(6,))))
        assert found.of(0) == [5, 6]
        assert isinstance(found.end, Ended) and found.end.reasons == (STOP,)
        assert fleet.model.num_free_pages == fleet.model.num_pages

    run(story)


def test_several_answers_share_a_prompt_and_end_one_by_one() -> None:
    async def story(fleet: VirtualFleet) -> None:
        found = await heard(fleet, fleet.call((5, 6, 7, 8, 9), 3, num_samples=3))
        assert [found.of(sample) for sample in range(3)] == [[5, 6, 7]] * 3
        assert isinstance(found.end, Ended) and found.end.reasons == (LENGTH,) * 3
        assert fleet.model.num_free_pages == fleet.model.num_pages

    run(story)


def test_pages_of_a_client_that_goes_away_are_free_when_its_step_ends() -> None:
    async def story(fleet: VirtualFleet) -> None:
        async with fleet.call((5, 6, 7), 40) as stream:
            async for _ in stream:
                break
        assert fleet.model.num_free_pages < fleet.model.num_pages
        left_s = fleet.loop.time()
        other = await heard(fleet, fleet.call((1, 2), 1))
        assert fleet.model.num_running == 0 and fleet.model.num_free_pages == fleet.model.num_pages
        # The step that ran when the client left, and one of the other's own.
        assert other.times_s[0] <= left_s + 2 * STEP_S
        assert fleet.front.num_pending == 0

    run(story)


def test_a_client_that_goes_away_while_it_waits_costs_nothing() -> None:
    async def story(fleet: VirtualFleet) -> None:
        reading = asyncio.ensure_future(heard(fleet, fleet.call((5, 6), 3)))
        await asyncio.sleep(STEP_S / 2)
        fleet.call((1,) * 20, 30).cancel()
        found = await reading
        assert found.times_s[-1] == 3 * STEP_S
        assert fleet.group.num_waiting == 0 and fleet.front.num_pending == 0

    run(story)


def test_a_deadline_ends_an_answer_where_it_is() -> None:
    async def story(fleet: VirtualFleet) -> None:
        found = await heard(fleet, fleet.call((5, 6, 7), 40, timeout_s=2.5 * STEP_S))
        assert len(found.tokens) == 2
        assert isinstance(found.end, Refusal) and found.end.reason is Reason.DEADLINE_EXCEEDED

    run(story)


def test_a_lost_group_ends_its_answers() -> None:
    async def story(fleet: VirtualFleet) -> None:
        stream = fleet.call((5, 6, 7), 40)
        fleet.loop.call_at(1.5 * STEP_S, fleet.front.lose_group, 0, "its process died")
        found = await heard(fleet, stream)
        assert len(found.tokens) == 1
        assert isinstance(found.end, Refusal) and found.end.reason is Reason.LOST

    run(story)


def test_what_can_never_fit_is_refused() -> None:
    async def story(fleet: VirtualFleet) -> None:
        found = await heard(fleet, fleet.call((5,) * 200, 100))
        assert isinstance(found.end, Refusal) and found.end.reason is Reason.CONTEXT_LENGTH_EXCEEDED
        assert "has 64" in found.end.message

    run(story)


@pytest.mark.parametrize(
    ("slo", "asked"),
    [
        (Slo(ttft_s=STEP_S / 2), {}),
        (Slo(tpot_s=STEP_S / 2), {}),
        (Slo(), {"ttft_s": STEP_S / 2}),
        (Slo(), {"tpot_s": STEP_S / 2}),
        (Slo(latency_s=STEP_S * 3), {}),
    ],
)
def test_admission_predicts_the_first_token_and_the_pace(slo: Slo, asked: dict[str, float]) -> None:
    async def story(fleet: VirtualFleet) -> None:
        found = await heard(fleet, fleet.call((5, 6, 7), 8, **asked))
        assert isinstance(found.end, Refusal) and found.end.reason is Reason.SLO_INFEASIBLE
        assert not found.tokens

    run(story, policy=Policy(admission="slo"), slo=slo)


def test_what_the_cache_of_prefixes_had_is_told() -> None:
    async def story(fleet: VirtualFleet) -> None:
        prompt = tuple(range(10, 23))
        first = await heard(fleet, fleet.call(prompt, 2))
        again = await heard(fleet, fleet.call(prompt, 2))
        salted = await heard(fleet, fleet.call(prompt, 2, salt="another tenant's"))
        cached = [one.end.num_cached for one in (first, again, salted) if isinstance(one.end, Ended)]
        assert cached == [0, 12, 0]
        assert first.of(0) == again.of(0) == salted.of(0)

    run(story)


def test_the_next_turn_of_a_conversation_finds_the_answer_in_the_cache() -> None:
    async def story(fleet: VirtualFleet) -> None:
        first = await heard(fleet, fleet.call((1, 2, 3, 4, 5), 8))
        turn = (1, 2, 3, 4, 5, *first.of(0), 9, 9, 9)
        second = await heard(fleet, fleet.call(turn, 2))
        # Of 12 tokens in the cache when it ended, three pages of four are full.
        assert isinstance(second.end, Ended) and second.end.num_cached == 12

    run(story)


def test_tokens_and_objectives_are_counted() -> None:
    async def story(fleet: VirtualFleet) -> None:
        await heard(fleet, fleet.call((5, 6, 7), 4))
        assert fleet.value("statmux_output_tokens_total", model="chat") == 4
        assert fleet.value("statmux_input_tokens_total", model="chat") == 3
        assert fleet.value("statmux_time_to_first_token_seconds_sum", model="chat") == STEP_S
        assert fleet.value("statmux_inter_token_latency_seconds_count", model="chat") == 3
        assert fleet.value("statmux_slo_met_total", model="chat", objective="ttft") == 1
        assert fleet.value("statmux_slo_missed_total", model="chat", objective="tpot") == 1
        assert fleet.metrics.attainment("chat") == 0.0

    run(story, slo=Slo(ttft_s=2 * STEP_S, tpot_s=STEP_S / 2))


def test_requests_come_in_the_words_of_their_protocol() -> None:
    async def story(fleet: VirtualFleet) -> None:
        await heard(fleet, fleet.call((5,), 1, protocol="openai"))
        labels = {"model": "chat", "code": "OK", "slo_class": "default"}
        assert fleet.value("statmux_requests_total", protocol="openai", **labels) == 1

    run(story)


def test_a_slow_reader_slows_nobody_down_and_misses_nothing() -> None:
    async def story(fleet: VirtualFleet) -> None:
        slow = fleet.call((5, 6, 7), 6)
        other = await heard(fleet, fleet.call((1, 2), 8))
        assert other.times_s == [STEP_S * (index + 1) for index in range(8)]
        found = await heard(fleet, slow)
        assert len(found.of(0)) == 6 and set(found.times_s) == {8 * STEP_S}
        assert isinstance(found.end, Ended)

    run(story)


def test_a_storm_of_clients_that_leave_leaves_nothing_behind() -> None:
    async def story(fleet: VirtualFleet) -> None:
        leaving = [fleet.call((5, 6, number), 30) for number in range(500)]
        staying = fleet.call((7, 8), 2)
        for number, stream in enumerate(leaving):
            fleet.loop.call_at(number % 7 * STEP_S / 2, stream.cancel)
        found = await heard(fleet, staying)
        assert len(found.of(0)) == 2
        for stream in leaving:
            assert (await heard(fleet, stream)).end == CANCELLED
        last = await heard(fleet, fleet.call((9,), 1))
        assert isinstance(last.end, Ended)
        assert fleet.front.num_pending == fleet.group.num_waiting == fleet.model.num_running == 0
        assert fleet.model.num_free_pages == fleet.model.num_pages

    run(story)


def test_a_fleet_that_drains_ends_its_streams_and_begins_none() -> None:
    async def story(fleet: VirtualFleet) -> None:
        running = fleet.call((5, 6, 7), 4)
        await asyncio.sleep(1.5 * STEP_S)
        fleet.front.start_draining()
        late = await heard(fleet, fleet.call((1, 2), 1))
        assert isinstance(late.end, Refusal) and late.end.reason is Reason.DRAINING
        await fleet.front.until_idle()
        assert fleet.loop.time() == 4 * STEP_S
        found = await heard(fleet, running)
        assert len(found.of(0)) == 4 and isinstance(found.end, Ended)

    run(story)


def test_a_fleet_that_stops_before_an_answer_is_whole_says_so_in_the_stream() -> None:
    async def story(fleet: VirtualFleet) -> None:
        stream = fleet.call((5, 6, 7), 40)
        await asyncio.sleep(2.5 * STEP_S)
        fleet.front.start_draining()
        fleet.front.abandon()
        found = await heard(fleet, stream)
        assert len(found.of(0)) == 2
        assert isinstance(found.end, Refusal) and found.end.reason is Reason.DRAINING

    run(story)
