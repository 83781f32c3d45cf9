"""What the profiler measures: a profile that the format takes, with the memory that serving needs."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from placement.costs.parts import cut_parts, layers_of, ranges_of
from vocabulary.deployment import ModelSpec
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.formats.profile import format_profile, parse_profile
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile
from workers.model import ShardedModel, load_model
from workers.part_times import PartTimes
from workers.profiler import Effort, profile_model

ONE, TWO_STAGES, TWO_SHARDS = ParallelConfig(1, 1), ParallelConfig(1, 2), ParallelConfig(2, 1)
BERT = ModelSpec("bert", source="random://bert-tiny?seed=3", batch_sizes=(1, 2), sequence_lengths=(8, 16))
QUICK = Effort(num_warm=1, num_rounds=2)


def measure(model: ModelSpec, *configs: ParallelConfig) -> Profile:
    return profile_model(
        model,
        device_type="cpu",
        configs=configs,
        source_folder=Path(),
        effort=QUICK,
        progress=lambda words: None,
    )


def load_gpt2(cut: tuple[range, ...] | None) -> ShardedModel:
    return load_model(
        "random://gpt2-tiny",
        config=TWO_STAGES,
        devices=jax.devices()[:2],
        batch_buckets=(1,),
        sequence_buckets=(8,),
        base_dir=Path(),
        cut=cut,
    )


@pytest.fixture(scope="module")
def profile() -> Profile:
    return measure(BERT, ONE, TWO_STAGES, TWO_SHARDS)


def test_a_profile_has_every_config_and_batch_and_survives_its_file(profile: Profile):
    assert (profile.model, profile.device_type, profile.sequence_length) == ("bert", "cpu", 16)
    assert profile.provenance.kind == "measured"
    assert set(profile.entries) == {ONE, TWO_STAGES, TWO_SHARDS}
    for config, entry in profile.entries.items():
        assert sorted(entry.stage_latency_s) == sorted(entry.activation_bytes) == [1, 2]
        for stages_s in entry.stage_latency_s.values():
            assert len(stages_s) == config.pipeline and min(stages_s) > 0
    assert parse_profile(format_profile(profile), name="bert.json") == profile


@pytest.mark.parametrize("config", [TWO_STAGES, TWO_SHARDS])
def test_weights_are_those_of_the_model_that_is_served(profile: Profile, config: ParallelConfig):
    served = load_model(
        "random://bert-tiny?seed=3",
        config=config,
        devices=jax.devices()[: config.num_devices],
        batch_buckets=BERT.batch_sizes,
        sequence_buckets=BERT.sequence_lengths,
        base_dir=Path(),
        cut=ranges_of(profile.entries[config].stage_layers),
    )
    assert profile.entries[config].weight_bytes == served.weight_bytes_per_stage


def test_stages_share_the_weights_of_the_whole(profile: Profile):
    whole = profile.entries[ONE].weight_bytes
    assert len(whole) == 1 and sum(profile.entries[TWO_STAGES].weight_bytes) == whole[0]
    # Norms and biases are on both devices.
    assert whole[0] / 2 < profile.entries[TWO_SHARDS].weight_bytes[0] < whole[0]


def test_parts_are_the_embedding_the_layers_and_the_head_of_every_model_that_is_cut(profile: Profile):
    whole, cut = profile.entries[ONE], profile.entries[TWO_STAGES]
    assert whole.part_s == cut.part_s and len(whole.part_s) == 6
    assert min(whole.part_s) >= 0 < max(whole.part_s)
    # Layers of one kind are measured once.
    assert len(set(whole.part_s[1:-1])) == 1
    assert profile.entries[TWO_SHARDS].part_s == ()


def test_what_starting_each_part_costs_is_taken_off_evenly_but_never_more_than_a_part_took():
    times = PartTimes((2.0, 4.0, 3.0), transfer_s=0.5)
    assert times.within(6.0) == PartTimes((1.0, 3.0, 2.0), transfer_s=0.5)
    assert times.within(10.0) == times
    assert times.within(1.0).part_s == (0.0, 2.0, 1.0)


def test_a_heavy_head_leaves_the_last_stage_fewer_layers_and_the_engine_runs_that_cut():
    # Times given by hand: those that a test could measure are too short to be told apart.
    light, heavy = (0.1, 1.0, 1.0, 1.0, 1.0, 0.1), (0.1, 1.0, 1.0, 1.0, 1.0, 9.0)
    assert layers_of(cut_parts(light, 2)) == (range(0, 2), range(2, 4))
    cut = layers_of(cut_parts(heavy, 2))
    assert cut == (range(0, 4), range(4, 4))
    even, uneven = (load_gpt2(cut) for cut in (None, cut))
    request = {"input_ids": np.arange(8)[None]}
    answers = [one.unpad(one.run(one.pad([request])))[0]["logits"] for one in (even, uneven)]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-5)


def test_what_stages_pass_on_is_written_down(profile: Profile):
    width, length = 128, 16
    for config, entry in profile.entries.items():
        assert entry.output_bytes[2] == (4 * 2 * length * width,) * config.pipeline


def test_larger_batches_need_more_room(profile: Profile):
    room = profile.entries[ONE].activation_bytes
    assert room[2][0] > room[1][0] > 0


def test_configs_with_more_stages_than_layers_or_devices_than_there_are_are_left_out():
    too_deep, too_wide = ParallelConfig(1, 8), ParallelConfig(1, 10_000)
    assert set(measure(BERT, ONE, too_deep, too_wide).entries) == {ONE}
    with pytest.raises(Infeasible, match="model bert fits none of"):
        measure(BERT, too_deep, too_wide)


def test_a_source_that_is_not_there_is_named():
    missing = ModelSpec("lost", source="./nowhere")
    with pytest.raises(InvalidInput, match="there is no directory nowhere"):
        measure(missing, ONE)
