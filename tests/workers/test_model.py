import threading

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import move
from tests.workers.goldens import CONFIGS, FAMILY_NAMES, GOLDENS, assert_close, load, read_golden, serve
from vocabulary.errors import Infeasible, InvalidInput
from workers.model import ShardedModel
from workers.padding import Bucket, PaddedBatch


@pytest.fixture(scope="module")
def gpt2() -> ShardedModel:
    """Four buckets, two stages."""
    model = load("gpt2", config=(1, 2), batch_buckets=(1, 4), sequence_buckets=(8, 16))
    model.compile()
    return model


def ids(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 96, shape)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_outputs_equal_transformers(family, config):
    golden = read_golden(family)
    model = load(family, config=config, batch_buckets=(8,))
    batch = serve(model, golden.requests)
    for output, expected in zip(batch, golden.outputs, strict=True):
        assert_close(output, expected)


def test_a_request_alone_equals_the_same_request_in_a_batch(gpt2):
    golden = read_golden("gpt2")
    for request, expected in zip(golden.requests, golden.outputs, strict=True):
        (alone,) = serve(gpt2, [request])
        assert_close(alone, expected)


def test_every_bucket_is_compiled_before_the_model_is_ready(gpt2):
    compiles: list[str] = []

    def record(event: str, duration_s: float, **_: object) -> None:
        compiles.append(event)

    jax.monitoring.register_event_duration_secs_listener(record)
    before = gpt2.num_compiles
    assert before == 2 * 4
    for num_rows in (1, 2, 4):
        for length in (1, 8, 9, 16):
            serve(gpt2, [{"input_ids": ids(num_rows, length)}])
    jax.monitoring.unregister_event_duration_listener(record)
    assert gpt2.num_compiles == before
    assert gpt2.num_recompiles == 0
    # Nothing else was compiled behind the counter's back, not even to move activations.
    assert not [event for event in compiles if "backend_compile" in event]


def test_a_bucket_that_was_not_compiled_is_a_counted_recompile():
    model = load("gpt2")
    model.compile()
    arrays = {"input_ids": ids(2, 4).astype(np.int32), "attention_mask": np.ones((2, 4), bool)}
    model.unpad(model.run(PaddedBatch(Bucket(2, 4), (), arrays)))
    assert (model.num_compiles, model.num_recompiles) == (2, 1)


def test_a_request_without_a_batch_dimension_gets_an_answer_without_one(gpt2):
    one_row = ids(1, 5)
    (single,) = serve(gpt2, [{"input_ids": one_row[0]}])
    (batched,) = serve(gpt2, [{"input_ids": one_row}])
    assert single.shape == (5, 96)
    np.testing.assert_array_equal(single, batched[0])


def test_a_missing_mask_means_all_tokens():
    model = load("bert")
    request = {"input_ids": ids(1, 6)}
    (without,) = serve(model, [request])
    (with_ones,) = serve(model, [request | {"attention_mask": np.ones((1, 6), np.int64)}])
    np.testing.assert_array_equal(without, with_ones)


@pytest.mark.parametrize(
    ("request_ids", "message"),
    [
        (ids(1, 17), "17 tokens are more than the longest bucket, 16"),
        (ids(5, 3), "5 rows are more than the largest bucket, 4"),
        (np.array([[3, 96]]), "go from 3 to 96, outside 0 to 95"),
        (np.array([[-1]]), "go from -1 to -1"),
        (np.zeros((1, 2), np.float32), r"float32\[1, 2\]"),
        (np.zeros((1, 0), np.int64), r"int64\[1, 0\]"),
    ],
)
def test_a_bad_request_is_refused_with_the_numbers(gpt2, request_ids, message):
    with pytest.raises(InvalidInput, match=message):
        gpt2.prepare({"input_ids": request_ids})


def test_missing_and_unknown_inputs_are_named(gpt2):
    with pytest.raises(InvalidInput, match="input_ids is missing; attention_mask is not an input"):
        gpt2.prepare({"attention_mask": ids(1, 2)})


def test_inputs_and_outputs_have_the_names_of_the_protocol(gpt2):
    assert [str(spec.name) for spec in gpt2.inputs + gpt2.outputs] == ["input_ids", "logits"]
    encoder = load("bert")
    assert [spec.name for spec in encoder.inputs] == ["input_ids", "attention_mask"]
    assert [(spec.name, spec.shape) for spec in encoder.outputs] == [("last_hidden_state", (-1, -1, 32))]


def test_layers_may_be_cut_by_hand():
    golden = read_golden("llama")
    model = load("llama", config=(1, 2), batch_buckets=(8,), cut=(range(0, 1), range(1, 3)))
    assert_close(serve(model, golden.requests)[0], golden.outputs[0])


def test_a_model_is_not_cut_into_more_stages_than_it_has_layers():
    with pytest.raises(Infeasible, match="3 layers cannot be cut into 4"):
        load("llama", config=(1, 4), batch_buckets=(8,))


def test_devices_share_the_weights():
    whole = load("llama").weight_bytes_per_stage
    num_parameters = (GOLDENS / "llama" / "model.safetensors").stat().st_size // 4
    assert whole[0] == pytest.approx(4 * num_parameters, rel=0.05)
    halves = load("llama", config=(2, 1)).weight_bytes_per_stage
    # Norms are on both.
    assert whole[0] / 2 < halves[0] < 0.55 * whole[0]
    stages = load("llama", config=(1, 2)).weight_bytes_per_stage
    assert sum(stages) == whole[0]


def test_a_tied_table_takes_memory_once():
    tied, file_bytes = (
        load("gpt2").weight_bytes_per_stage,
        (GOLDENS / "gpt2/model.safetensors").stat().st_size,
    )
    assert tied[0] < file_bytes


def test_a_sequence_bucket_beyond_the_positions_is_refused():
    with pytest.raises(InvalidInput, match="sequence length 64 is above the model's 32 positions"):
        load("bert", sequence_buckets=(16, 64))


def test_stages_of_different_requests_overlap(gpt2):
    """Batch A is held back inside the pipeline; all that follows it is dispatched, and batch B goes ahead.

    Were any of the calls to wait for the devices, this would end in the gate's failure.
    """
    opened = threading.Event()

    def hold(array: np.ndarray) -> np.ndarray:
        assert opened.wait(timeout=20), "the dispatch of a later batch waited for an earlier one"
        return array

    a, b = gpt2.pad([{"input_ids": ids(1, 8)}]), gpt2.pad([{"input_ids": ids(1, 8) // 2}])
    want_a, want_b = (gpt2.unpad(gpt2.run(batch))[0]["logits"] for batch in (a, b))
    held_a = jax.tree.map(lambda array: _held(array, hold), gpt2.run_stage(0, a))
    after_second_a = gpt2.run_stage(1, held_a)
    after_first_b = jax.block_until_ready(gpt2.run_stage(0, b))
    assert not any(leaf.is_ready() for leaf in jax.tree.leaves(after_second_a))
    after_second_b = gpt2.run_stage(1, after_first_b)
    opened.set()
    np.testing.assert_array_equal(gpt2.unpad(after_second_a)[0]["logits"], want_a)
    np.testing.assert_array_equal(gpt2.unpad(after_second_b)[0]["logits"], want_b)


def _held(array: jax.Array, hold) -> jax.Array:
    """The same array, to come from other devices when `hold` returns."""
    # Two devices: JAX runs a small program of one CPU device inside the call.
    mesh = Mesh(np.array(jax.devices("cpu")[6:]), "x")
    struct = jax.ShapeDtypeStruct(array.shape, array.dtype)
    elsewhere = move(array, NamedSharding(mesh, PartitionSpec()))
    held = jax.shard_map(
        lambda x: jax.pure_callback(hold, struct, x),
        mesh=mesh,
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    return jax.jit(held)(elsewhere)
