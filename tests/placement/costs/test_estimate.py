"""Estimates: what must hold whatever the device, and how far they are from the profiles at hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.costs.devices import device_type, device_types
from placement.costs.estimate import Workload, estimated_entry, estimated_profile
from placement.costs.roofline import Setting, part_costs
from tests.placement.costs.shapes import BERTS, gpt
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.formats.disk import load_profile
from vocabulary.formats.profile import format_profile, parse_profile
from vocabulary.model_shape import ModelShape
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry

PROFILES = Path(__file__).parents[4] / "shared" / "data" / "alpaserve" / "profiles"
ONE = ParallelConfig(1, 1)
HALF = Workload(2048, "float16")
SMALL = gpt(8, 512, 8, vocab=1000)
V100 = device_type("v100-16g")
NAMES = st.sampled_from(sorted(device_types()))


def latency_s(entry: ProfileEntry, batch_size: int = 1) -> float:
    return sum(entry.stage_latency_s[batch_size])


def entry_of(shape: ModelShape, name: str, config: ParallelConfig, *sizes: int) -> ProfileEntry:
    device = device_type(name)
    return estimated_entry(shape, device, config, sizes, workload=Workload(512, device.default_dtype))


@given(NAMES, st.integers(1, 8), st.integers(1, 8))
def test_more_requests_take_longer_and_more_room_but_no_more_weights(
    name: str, tensor: int, size: int
) -> None:
    entry = entry_of(SMALL, name, ParallelConfig(tensor, 1), size, 2 * size)
    assert latency_s(entry, size) < latency_s(entry, 2 * size)
    assert entry.activation_bytes[size][0] < entry.activation_bytes[2 * size][0]


@given(NAMES, st.integers(1, 3))
def test_devices_of_a_stage_share_its_weights_and_never_take_longer_for_all_arithmetic(
    name: str, doublings: int
) -> None:
    alone, shared = (entry_of(SMALL, name, ParallelConfig(tensor, 1)) for tensor in (1, 2**doublings))
    assert shared.weight_bytes[0] == pytest.approx(alone.weight_bytes[0] / 2**doublings, rel=1e-3)
    # No device does less than its part.
    assert latency_s(shared) > latency_s(alone) / 2**doublings


@given(NAMES, st.integers(2, 8))
def test_a_pipeline_costs_its_transfers_and_its_slowest_stage_is_no_less_than_its_part(
    name: str, num_stages: int
) -> None:
    alone, cut = (entry_of(SMALL, name, ParallelConfig(1, stages)) for stages in (1, num_stages))
    transfer_s = device_type(name).link.seconds(cut.output_bytes[1][0])
    assert latency_s(cut) == pytest.approx(latency_s(alone) + (num_stages - 1) * transfer_s)
    assert max(cut.stage_latency_s[1]) >= latency_s(alone) / num_stages
    assert sum(cut.stage_layers) == SMALL.num_layers
    assert sum(cut.weight_bytes) == pytest.approx(alone.weight_bytes[0], rel=1e-6)


def test_stages_are_the_sums_of_the_parts_that_the_profile_lists() -> None:
    entry = entry_of(gpt(12, 768, 12, vocab=400_000), "v100-16g", ParallelConfig(1, 4))
    assert len(entry.part_s) == 14
    first = entry.stage_layers[0]
    transfer_s = V100.link.seconds(entry.output_bytes[1][0])
    assert entry.stage_latency_s[1][0] == pytest.approx(sum(entry.part_s[: first + 1]) + transfer_s)
    # So large a vocabulary outweighs all layers together: the head has a stage for itself.
    assert entry.stage_layers == (4, 4, 4, 0)


def test_parts_that_were_measured_decide_the_cut_and_the_stages() -> None:
    alone = entry_of(SMALL, "v100-16g", ParallelConfig(1, 1), 4)
    known_s = [0.001] * 9 + [0.008]
    workload = Workload(512, "float16")
    entry = estimated_entry(
        SMALL, V100, ParallelConfig(1, 2), [4], workload=workload, measured_part_s=known_s
    )
    assert entry.part_s == tuple(known_s) and entry.stage_layers == (7, 1)
    assert entry.stage_latency_s[1][1] == pytest.approx(0.009)
    # Four requests compare with one as the roofline says.
    slower = latency_s(alone, 4) / latency_s(alone)
    assert latency_s(entry, 4) / latency_s(entry) == pytest.approx(slower, rel=0.2)
    # Parts of another model are no parts of this one.
    other = estimated_entry(SMALL, V100, ParallelConfig(1, 2), [], workload=workload, measured_part_s=[1.0])
    assert other.part_s == alone.part_s


def test_a_tied_table_is_held_twice_only_when_the_ends_are_apart() -> None:
    tied = ModelShape(4, 256, 4, 4, 64, 1024, 5000)
    table_bytes = 2 * 5000 * 256
    alone, cut = (entry_of(tied, "v100-16g", ParallelConfig(1, stages)) for stages in (1, 2))
    assert alone.weight_bytes[0] == 2 * tied.num_parameters
    assert sum(cut.weight_bytes) == 2 * tied.num_parameters + table_bytes


def test_virtual_devices_of_one_processor_gain_nothing_from_sharing_an_operator() -> None:
    alone, shared = (entry_of(SMALL, "cpu", ParallelConfig(tensor, 1)) for tensor in (1, 4))
    assert latency_s(shared) > latency_s(alone)


def test_a_wide_stage_talks_over_the_network_once_it_leaves_its_host() -> None:
    inside, outside = (Setting(SMALL, V100, "float16", tensor, 512) for tensor in (8, 16))
    assert inside.ring is V100.link and outside.ring is V100.network


def test_a_decoder_that_generates_has_steps_that_grow_with_tokens_and_cache() -> None:
    workload = Workload(512, "float16", generates=True)
    config = ParallelConfig(2, 2)
    entry = estimated_entry(SMALL, V100, config, [1], workload=workload)
    whole = estimated_entry(SMALL, V100, ONE, [1], workload=workload)
    assert sum(entry.kv_bytes_per_token) == whole.kv_bytes_per_token[0] / 2 == 8 * 2 * 512 * 2 / 2
    for times in entry.step_times:
        assert times.of(1, 0) < times.of(2, 0) < times.of(2, 1000)
    # One token of a step reads all weights: no quicker than memory allows.
    assert whole.step_times[0].of(1, 0) > 2 * SMALL.num_parameters / 900e9 * 0.9


def test_experts_are_all_read_but_only_those_chosen_compute() -> None:
    dense = gpt(4, 1024, 16, vocab=1000)
    sparse = ModelShape(4, 1024, 16, 16, 64, 4096, 1000, num_positions=2048, is_tied=False, num_experts=8,
                        num_computed=1)  # fmt: skip
    one, eight = (part_costs(Setting(shape, V100, "float16", 1, 2048), 1)[1] for shape in (dense, sparse))
    assert eight.weight_bytes > 4 * one.weight_bytes
    assert one.seconds <= eight.seconds < 1.5 * one.seconds


def test_an_estimated_profile_says_so_and_survives_its_file() -> None:
    profile = estimated_profile(
        "chat", SMALL, V100, configs=[ONE, ParallelConfig(2, 4), ParallelConfig(1, 16)], batch_sizes=[4],
        workload=HALF,
    )  # fmt: skip
    assert set(profile.entries) == {ONE, ParallelConfig(2, 4)}
    assert profile.provenance.kind == "estimated"
    assert "float16 on v100-16g, 2048 tokens a request" in profile.provenance.note
    assert all(
        entry.is_estimated and set(entry.stage_latency_s) == {1, 4} for entry in profile.entries.values()
    )
    assert parse_profile(format_profile(profile), name="chat.json") == profile


def test_more_stages_than_layers_unknown_devices_and_dtypes_are_told_with_what_there_is() -> None:
    deep = [ParallelConfig(1, 16)]
    with pytest.raises(Infeasible, match="8 layers cannot be cut into 16 stages"):
        estimated_profile("chat", SMALL, V100, configs=deep, batch_sizes=[1], workload=HALF)
    with pytest.raises(InvalidInput, match="no device type 'v100'; known: v100-16g") as raised:
        device_type("v100")
    assert raised.value.hint.startswith("did you mean v100-")
    with pytest.raises(InvalidInput, match="no speed is known for bfloat16 on v100-16g"):
        estimated_entry(SMALL, V100, ONE, [1], workload=Workload(512, "bfloat16"))


@pytest.mark.parametrize("name", sorted(BERTS))
def test_the_published_transformers_are_estimated_within_a_factor_of_two(name: str) -> None:
    """The bar is wide on purpose: it guards the arithmetic; docs/measurements.md has the errors."""
    path = PROFILES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no published profiles at {PROFILES}")
    known = load_profile(path)
    found = estimated_profile(
        name, BERTS[name], V100, configs=list(known.entries), batch_sizes=[1, 16], workload=HALF
    )
    ratios = [
        latency_s(found.entries[config], size) / latency_s(entry, size)
        for config, entry in known.entries.items()
        for size in (1, 16)
    ]
    assert max(abs(math.log2(ratio)) for ratio in ratios) < 1
    smallest = min(known.entries)
    weights = [sum(profile.entries[smallest].weight_bytes) for profile in (found, known)]
    assert weights[0] == pytest.approx(weights[1], rel=0.01)
