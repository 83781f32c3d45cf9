"""Machine, engine and server of one group together, on real devices: what a client would get."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.workers.generation.live_group import LiveGroup, live_group
from tests.workers.generation.tiny_models import NUM_TOKENS, VOCABULARY, read_expected
from vocabulary.deployment import Policy
from vocabulary.errors import InvalidInput
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationLimits
from vocabulary.messages import Batch, Slice
from vocabulary.request import Fate, Request
from vocabulary.sampling import GREEDY, LENGTH, STOP, Sampling
from workers.engine import Prompt

EXPECTED = read_expected("llama")
# Room for little more than the longest answer, and on the host for less; four at once begin.
TIGHT = GenerationLimits(
    num_pages=20,
    page_tokens=4,
    max_batched_tokens=16,
    max_sequences=4,
    has_prefix_cache=True,
    num_host_pages=12,
)
SMALL = dataclasses.replace(TIGHT, max_batched_tokens=8, max_sequences=1)
DRAWING = Sampling(temperature=0.9, seed=7)
VARIANTS = (
    GREEDY,
    replace(GREEDY, num_logprobs=0),
    replace(GREEDY, num_logprobs=3),
    DRAWING,
    replace(DRAWING, top_k=5),
    replace(DRAWING, top_p=0.8),
    replace(DRAWING, min_p=0.1),
    replace(DRAWING, top_k=9, top_p=0.9, min_p=0.01, num_logprobs=20),
    replace(DRAWING, repetition_penalty=1.3),
    replace(DRAWING, presence_penalty=0.5, frequency_penalty=-0.5, ignores_eos=True),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny") / "llama"


@pytest.fixture(scope="module")
def group(folder) -> Iterator[LiveGroup]:
    """Two stages, so that steps overlap."""
    with live_group("llama", folder, limits=TIGHT, config=(1, 2)) as made:
        yield made


@pytest.fixture(autouse=True)
def _gives_all_back(request) -> Iterator[None]:
    yield
    if "group" in request.fixturenames:
        made: LiveGroup = request.getfixturevalue("group")
        assert made.scheduler.num_running == made.scheduler.num_waiting == 0
        assert made.scheduler.num_free_pages == TIGHT.num_pages
        assert made.scheduler.num_free_host_pages == TIGHT.num_host_pages
        assert sum(len(book) for book in made.engine._books._books.values()) == 0
        assert not made.engine._running


def test_answers_are_those_of_transformers_through_swapping_computing_again_and_prefix_hits(
    group: LiveGroup,
) -> None:
    asked = [group.ask(prompt, NUM_TOKENS) for prompt in EXPECTED.prompts]
    ends = [group.done(one) for one in asked]
    assert [group.answers(one).of() for one in asked] == EXPECTED.answers.tolist()
    assert {end.reasons for end in ends} == {(LENGTH,)}
    found = group.scheduler.statistics
    assert min(found.num_swapped, found.num_recomputed, found.num_hit) > 0
    # Five full pages of 22 tokens.
    assert group.answer(EXPECTED.prompts[5], NUM_TOKENS) == EXPECTED.answers[5].tolist()
    repeated = group.ask(EXPECTED.prompts[5], NUM_TOKENS)
    assert group.done(repeated).num_cached == 20
    assert group.answers(repeated).of() == EXPECTED.answers[5].tolist()


def test_an_answer_is_the_beginning_of_the_next_turn(group: LiveGroup) -> None:
    """Full pages of the answer are in the cache too, but for the last token, which was never computed."""
    prompt, answer = EXPECTED.prompts[3], EXPECTED.answers[3]
    assert group.answer(prompt, 20) == answer[:20].tolist()
    longer = np.concatenate([prompt, answer[:20]])
    turn = group.ask(longer, 20)
    assert group.done(turn).num_cached == (len(longer) - 1) // TIGHT.page_tokens * TIGHT.page_tokens
    assert group.answers(turn).of() == answer[20:].tolist()


def test_an_answer_to_less_than_a_page_is_found_again(group: LiveGroup) -> None:
    prompt, answer = EXPECTED.prompts[1], EXPECTED.answers[1]
    assert len(prompt) < TIGHT.page_tokens
    group.answer(prompt, 20)
    turn = group.ask(np.concatenate([prompt, answer[:20]]), 4)
    assert group.done(turn).num_cached == 20
    assert group.answers(turn).of() == answer[20:24].tolist()


def test_samples_are_the_same_alone_and_beside_others_that_take_their_pages(group: LiveGroup) -> None:
    alone = group.ask(EXPECTED.prompts[4], 24, sampling=DRAWING, num_samples=3)
    group.done(alone)
    preempted = group.scheduler.statistics.num_preempted
    beside = [group.ask(prompt, NUM_TOKENS) for prompt in EXPECTED.prompts[:4]]
    crowded = [group.ask(EXPECTED.prompts[4], 24, sampling=DRAWING, num_samples=3) for _ in range(2)]
    assert {group.done(one).fate for one in (*beside, *crowded)} == {Fate.SERVED.value}
    samples = [group.answers(alone).of(number) for number in range(3)]
    assert len({tuple(one) for one in samples}) == 3
    for one in crowded:
        assert [group.answers(one).of(number) for number in range(3)] == samples
    assert [group.answers(one).of() for one in beside] == EXPECTED.answers[:4].tolist()
    assert group.scheduler.statistics.num_preempted > preempted


def test_an_answer_ends_with_a_token_that_stops_it_also_the_first(group: LiveGroup) -> None:
    prompt, answer = EXPECTED.prompts[2], EXPECTED.answers[2].tolist()
    first = group.ask(prompt, NUM_TOKENS, sampling=replace(GREEDY, stop_token_ids=(answer[0],)))
    later = next(token for token in answer if token != answer[0])
    second = group.ask(prompt, NUM_TOKENS, sampling=replace(GREEDY, stop_token_ids=(later,)))
    both = group.ask(prompt, 3, sampling=replace(GREEDY, stop_token_ids=(answer[0],)), num_samples=2)
    assert group.done(first).reasons == group.done(second).reasons == (STOP,)
    assert group.answers(first).of() == answer[:1]
    assert group.answers(second).of() == answer[: answer.index(later) + 1]
    assert group.done(both).reasons == (STOP, STOP)
    assert [group.answers(both).of(number) for number in (0, 1)] == [answer[:1]] * 2


def test_one_token_of_a_prompt_of_one_token(group: LiveGroup) -> None:
    one = group.ask(EXPECTED.prompts[0], 1)
    assert group.done(one).reasons == (LENGTH,)
    assert group.answers(one).of() == EXPECTED.answers[0, :1].tolist()


def test_an_answer_that_is_cancelled_in_its_step_leaves_the_others_alone(group: LiveGroup) -> None:
    left = group.ask(EXPECTED.prompts[5], NUM_TOKENS, num_samples=2, sampling=DRAWING)
    others = [group.ask(prompt, NUM_TOKENS) for prompt in EXPECTED.prompts[1:3]]
    never = group.ask(EXPECTED.prompts[4], NUM_TOKENS)
    group.withdraw(never)
    group.run(group.answers(left).begun.wait())
    group.withdraw(left)
    assert group.done(left).fate == group.done(never).fate == Fate.CANCELLED.value
    assert len(group.answers(left).of()) < NUM_TOKENS
    assert [group.done(one).fate for one in others] == [Fate.SERVED.value] * 2
    assert [group.answers(one).of() for one in others] == EXPECTED.answers[1:3].tolist()


def test_what_cannot_be_answered_is_refused_in_words(group: LiveGroup) -> None:
    beyond = group.ask(np.array([VOCABULARY]), 1)
    too_long = group.ask(EXPECTED.prompts[3], 64)
    assert "token ids must be between 0 and 95" in group.done(beyond).error
    assert "prompt and answer may have 77 tokens, and the model takes 64" in group.done(too_long).error
    assert group.done(beyond).fate == group.done(too_long).fate == Fate.INVALID.value
    nothing = Prompt(0, "llama", EXPECTED.prompts[3], 0)
    assert group.engine.admit(nothing) == "an answer has at least one token"


def test_the_order_of_requests_and_what_the_cache_forgets_change_no_answer(folder) -> None:
    policy = Policy(admission="none", queue="vtc", fairness=Fairness(within="longest_prefix"))
    limits = dataclasses.replace(TIGHT, eviction="cost", max_sequences=2)
    with live_group("llama", folder, limits=limits, policy=policy) as made:
        asked = [
            made.ask(prompt, NUM_TOKENS, tenant=tenant)
            for tenant in ("flood", "flood", "modest")
            for prompt in EXPECTED.prompts
        ]
        ends = [made.done(one) for one in asked]
    assert [made.answers(one).of() for one in asked] == EXPECTED.answers.tolist() * 3
    # Who asks for half as much does not wait for all of the flood.
    last_s = {
        "flood": max(end.finish_s for end in ends[:12]),
        "modest": max(end.finish_s for end in ends[12:]),
    }
    assert last_s["modest"] < last_s["flood"]
    assert made.scheduler.statistics.num_hit > 0


def test_nothing_is_compiled_whatever_is_asked_for(group: LiveGroup) -> None:
    compiles: list[str] = []

    def record(event: str, duration_s: float, **_: object) -> None:
        compiles.append(event)

    jax.monitoring.register_event_duration_secs_listener(record)
    try:
        asked = [
            group.ask(EXPECTED.prompts[number % 6], 12, sampling=sampling, num_samples=1 + number % 3)
            for number, sampling in enumerate(VARIANTS * 2)
        ]
        assert {group.done(one).fate for one in asked} == {Fate.SERVED.value}
    finally:
        jax.monitoring.unregister_event_duration_listener(record)
    assert group.engine.num_recompiles == 0
    assert not [event for event in compiles if "backend_compile" in event]
    assert len(group.answers(asked[2]).sampled[0][0].best) == 3


def test_a_step_that_fails_before_the_devices_costs_its_requests_only(folder) -> None:
    with live_group("llama", folder, limits=SMALL) as made:
        assert made.answer(EXPECTED.prompts[1], 3) == EXPECTED.answers[1, :3].tolist()
        with capture_logs() as logs:
            assert _failed_step(made, num_tokens=40).error == "AssertionError in stage 0"
        # Where, but not with what: values are clients' tokens and weights.
        assert "pack_step" in logs[0]["exception"] and "locals" not in logs[0]["exception"]
        assert made.answer(EXPECTED.prompts[1], 3) == EXPECTED.answers[1, :3].tolist()
        assert not made.lost.done()


def test_a_step_that_takes_the_pages_along_ends_the_group(folder) -> None:
    """What others have in the cache is gone: no answer is better than one without them."""
    with live_group("llama", folder, limits=SMALL) as made:
        made.answer(EXPECTED.prompts[2], 3)
        # As devices do, which a step gives its pages for good, when it fails there.
        for array in jax.tree.leaves(made.engine._models["llama"]._stages[0].pages.caches):
            array.delete()
        running, waiting = (made.ask(EXPECTED.prompts[2], NUM_TOKENS) for _ in range(2))
        assert made.done(running).fate == Fate.FAILED.value
        assert made.done(running).error == made.run(made.lost)
        assert "the pages of llama are lost" in _failed_step(made, num_tokens=1).error
        assert not made.answers(waiting).of()


def test_half_floats_and_the_backend_are_chosen_in_the_deployment_and_said(folder) -> None:
    with (
        capture_logs() as logs,
        live_group("llama", folder, limits=SMALL, dtype="bfloat16") as made,
    ):
        assert len(made.answer(EXPECTED.prompts[1], 3)) == 3
    (told,) = (one for one in logs if one["log_level"] == "warning")
    assert (told["bytes_per_token"], told["profiled"]) == ((128,), (256,))
    (said,) = (one for one in logs if one["event"] == "attention")
    assert (said["backend"], said["dtype"], said["platform"]) == ("xla", "bfloat16", "cpu")
    refused = pytest.raises(InvalidInput, match="no attention backend 'cudnn'")
    with refused, live_group("llama", folder, limits=SMALL, attention="cudnn"):
        pass


def _failed_step(made: LiveGroup, *, num_tokens: int):
    """What comes of a step that the machine would not make, of a request that only the engine knows."""
    made.engine.admit(Prompt(1000, "llama", np.zeros(num_tokens, np.int32), 2))
    batch = Batch(
        1000, "llama", (Request(1000, "llama", 0.0),), (num_tokens,),
        slices=(Slice(1000, 0, 0, num_tokens, (0, 1, 2), 1),),
    )  # fmt: skip
    results = made.loop.create_future()
    made.engine.start(batch, (), start_s=0.0, stage_freed=lambda time_s: None, finished=results.set_result)
    result = made.run(results)
    made.engine.forget(1000)
    return result
