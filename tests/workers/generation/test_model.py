"""Greedy answers are those of transformers, token for token, however steps are made."""

from __future__ import annotations

import queue

import jax
import numpy as np
import pytest

from tests.workers.generation.random_steps import NO_IDS, RandomSteps
from tests.workers.generation.tiny_generation import LIMITS, open_tiny, tiny_model
from tests.workers.generation.tiny_models import CONFIGS, NUM_BEST, NUM_TOKENS, read_expected
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits
from vocabulary.sampling import GREEDY, Sampling
from workers.generation.host_step import Draw, HostRow, HostStep
from workers.generation.model import GeneratingModel
from workers.generation.shapes import StepBucket
from workers.stage_line import InFlight, StageLine

PATIENCE_S = 60.0
# Of the largest: float32 sums in another order differ by about 1e-6 of it.
TOLERANCE = 1e-4
TELLING = Sampling(temperature=0.0, num_logprobs=NUM_BEST)
# Every layout of devices for one family, and one layout with both for another.
LAYOUTS = [(name, (1, 1)) for name in CONFIGS if name != "llama"]
LAYOUTS += [("llama", (2, 1)), ("llama", (2, 2)), ("qwen2", (2, 2))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def llama(folder) -> GeneratingModel:
    """With a shape for answers alone and one for prompts beside them."""
    return tiny_model("llama", folder / "llama", buckets=(StepBucket(2, 0), StepBucket(8, 3)))


@pytest.fixture(scope="module")
def two_stages(folder) -> GeneratingModel:
    return tiny_model("llama", folder / "llama", config=(1, 2))


def check(model: GeneratingModel, name: str, *, seed: int) -> RandomSteps:
    expected = read_expected(name)
    steps = RandomSteps(model, expected.prompts, num_tokens=NUM_TOKENS, seed=seed, sampling=TELLING)
    steps.run()
    scale = np.abs(expected.best_logprobs).max()
    for number, one in enumerate(steps.sequences):
        assert one.answer == expected.answers[number].tolist(), number
        tokens, logprobs = (np.stack(column) for column in zip(*one.best, strict=True))
        assert np.abs(logprobs - expected.best_logprobs[number]).max() <= TOLERANCE * scale
        assert (tokens[:, 0] == expected.answers[number]).all()
    return steps


@pytest.mark.parametrize(("name", "config"), LAYOUTS, ids=str)
def test_answers_equal_transformers(name, config, folder):
    model = tiny_model(name, folder / name, config=config)
    happened = check(model, name, seed=0).happened
    assert min(happened[what] for what in ("prompts beside answers", "started again", "prefix found")) > 0
    assert min(happened[what] for what in ("swapped", "copied")) > 0


@pytest.mark.parametrize("seed", range(4))
def test_answers_do_not_depend_on_how_steps_were_made(llama, seed):
    check(llama, "llama", seed=seed)


def test_a_step_that_no_shape_holds_runs_in_parts(llama):
    prompts = read_expected("llama").prompts
    rows = tuple(_row(prompt[:3], index) for index, prompt in enumerate(prompts[1:]))
    parts = llama.pack(HostStep(rows))
    assert len(parts) == 2
    together = llama.drawn(llama.run(parts)).tokens.tolist()
    alone = [int(llama.drawn(llama.run(llama.pack(HostStep((row,))))).tokens[0]) for row in rows]
    assert together == alone


def test_a_chunk_that_draws_nothing_is_waited_for_all_the_same(llama):
    chunk = HostRow(np.arange(9, dtype=np.int32), 0, (3, 4, 5), ())
    parts = llama.run(llama.pack(HostStep((chunk,))))
    assert len(jax.tree.leaves(parts)) == 1
    assert len(llama.drawn(parts).tokens) == 0


def test_more_samples_of_a_prompt_than_any_shape_draws_are_all_drawn(llama):
    expected = read_expected("llama")
    row = _row(expected.prompts[2], 0)
    many = HostRow(row.token_ids, 0, row.pages, tuple(Draw(GREEDY, n, 0, NO_IDS, NO_IDS) for n in range(19)))
    parts = llama.pack(HostStep((many,)))
    assert llama.drawn(llama.run(parts)).tokens.tolist() == [expected.answers[2, 0]] * 19


def test_steps_of_different_sequences_follow_each_other_through_a_pipeline(two_stages):
    """All prompts enter before the first one has left; every stage has the same pages for each."""
    expected = read_expected("llama")
    left: queue.SimpleQueue = queue.SimpleQueue()
    line = StageLine(
        range(2), leave=left.put, freed=lambda job: None, failed=lambda job, stage, error: left.put(error)
    )
    for number, prompt in enumerate(expected.prompts):
        parts = two_stages.pack(HostStep((_row(prompt, number),)))
        line.enter(InFlight(number, two_stages, parts))
    done = [left.get(timeout=PATIENCE_S) for _ in expected.prompts]
    line.close()
    line.join()
    assert [job.ticket for job in done] == list(range(len(expected.prompts)))
    assert [int(two_stages.drawn(job.parts).tokens[0]) for job in done] == expected.answers[:, 0].tolist()


def test_answers_of_two_stages_equal_transformers(two_stages):
    check(two_stages, "llama", seed=1)
    assert two_stages.kv_bytes_per_token == (128, 128)


def test_nothing_is_compiled_after_the_model_is_ready(folder):
    limits = GenerationLimits(
        num_pages=120, page_tokens=4, max_batched_tokens=16, max_sequences=4, num_host_pages=80
    )
    opened = open_tiny("gpt2", folder / "gpt2", limits=limits)
    model = opened.model(opened.read())
    model.compile()
    compiles: list[str] = []

    def record(event: str, duration_s: float, **_: object) -> None:
        compiles.append(event)

    jax.monitoring.register_event_duration_secs_listener(record)
    drawing = Sampling(temperature=0.7, top_k=9, top_p=0.9, presence_penalty=0.5, seed=3, num_logprobs=2)
    for seed, sampling in enumerate((GREEDY, drawing)):
        RandomSteps(model, read_expected("gpt2").prompts, num_tokens=20, seed=seed, sampling=sampling).run()
    jax.monitoring.unregister_event_duration_listener(record)
    assert model.num_recompiles == 0
    # Nothing else was compiled behind the counter's back, not even to move pages or activations.
    assert not [event for event in compiles if "backend_compile" in event]


def test_a_shape_that_was_not_compiled_is_a_counted_recompile(folder):
    model = tiny_model("gpt2", folder / "gpt2", buckets=(StepBucket(1, 0),))
    model._num_compiles_at_ready = model.num_compiles
    model.run(model.pack(HostStep((_row(np.array([5], np.int32), 0),))))
    assert model.num_recompiles == 2


def test_half_as_many_bytes_give_about_the_same_probabilities(folder):
    """Tokens need not be equal: 16-bit floats round by 0.4 %."""
    model, expected = tiny_model("mixtral", folder / "mixtral", dtype="bfloat16"), read_expected("mixtral")
    rows = [_row(prompt, number, TELLING) for number, prompt in enumerate(expected.prompts[1:4])]
    drawn = model.drawn(model.run(model.pack(HostStep(tuple(rows)))))
    assert np.abs(drawn.best_logprobs - expected.best_logprobs[1:4, 0]).max() < 0.1
    assert model.kv_bytes_per_token == (128,)


def test_devices_that_share_the_heads_share_the_pages(folder):
    """Keys and values of 2 layers x 2 heads x 8 numbers x 4 bytes, or half of the heads."""
    whole, halves = (tiny_model("llama", folder / "llama", config=(n, 1)) for n in (1, 2))
    assert (whole.kv_bytes_per_token, halves.kv_bytes_per_token) == ((256,), (128,))
    # Three devices cannot share two heads: each has them all.
    assert tiny_model("llama", folder / "llama", config=(3, 1)).kv_bytes_per_token == (256,)


def test_contexts_are_as_long_as_positions_and_pages_allow(folder):
    few = GenerationLimits(num_pages=5, page_tokens=4)
    assert open_tiny("llama", folder / "llama").task.max_model_len == 64
    assert open_tiny("llama", folder / "llama", limits=few).task.max_model_len == 20
    assert open_tiny("llama", folder / "llama", max_model_len=30).task.max_model_len == 30
    with pytest.raises(InvalidInput, match="max_model_len 65 is above the model's 64 positions or the 560"):
        open_tiny("llama", folder / "llama", max_model_len=LIMITS.page_tokens * 16 + 1)


def _row(tokens: np.ndarray, number: int, sampling: Sampling = GREEDY) -> HostRow:
    """A whole prompt on pages of its own."""
    pages = tuple(range(number * 16, number * 16 + 16))
    return HostRow(tokens, 0, pages, (Draw(sampling, 0, 0, NO_IDS, NO_IDS),))
