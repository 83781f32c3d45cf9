"""Plan and profile files: writing and reading gives the same noun back."""

from __future__ import annotations

import json
import string

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vocabulary.errors import InvalidInput
from vocabulary.formats.plan import format_plan, parse_plan
from vocabulary.formats.profile import format_profile, parse_profile
from vocabulary.generation import StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.plan import Plan
from vocabulary.profile import Profile, ProfileEntry, Provenance

CHARACTERS = string.ascii_letters + string.digits + "-_.:~!&*#'\" éß模"
# What a careless writer would not quote: numbers, words and signs of YAML.
TRICKY = st.sampled_from(
    ["no", "null", "1e5", "010", "1_000", "0x1f", "1:30", "-", "- a", "a: b", "~", "2024-01-01"]
)
NAMES = (st.text(CHARACTERS, min_size=1, max_size=12).map(str.strip) | TRICKY).filter(
    lambda name: name and name not in (".", "..")
)
FLOATS = st.floats(0, 1e9, allow_nan=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.dictionaries(NAMES, PLAIN, max_size=3)


@st.composite
def placements(draw):
    configs = draw(st.lists(st.builds(ParallelConfig, st.integers(1, 4), st.integers(1, 4)), max_size=4))
    ids = draw(st.lists(NAMES, min_size=len(configs), max_size=len(configs), unique=True))
    groups = []
    num_devices = 0
    for name, config in zip(ids, configs, strict=True):
        devices = tuple(f"n-0:{num_devices + index}" for index in range(config.num_devices))
        num_devices += config.num_devices
        models = tuple(draw(st.lists(NAMES, max_size=4, unique=True)))
        groups.append(Group(name, devices, config, models))
    return Placement(tuple(groups))


@settings(deadline=None)
@given(placements(), SECTIONS, SECTIONS, st.lists(NAMES, max_size=2), SECTIONS)
def test_a_plan_comes_back_as_it_was(placement, metadata, predicted, constraints, inputs):
    plan = Plan(placement, metadata, predicted, {"seed": 0}, tuple(constraints), inputs)
    assert parse_plan(format_plan(plan), name="plan.yaml") == plan


@settings(deadline=None)
@given(placements())
def test_other_yaml_readers_agree_about_groups(placement):
    document = yaml.safe_load(format_plan(Plan(placement)))
    assert [group["models"] for group in document["groups"]] == [list(g.models) for g in placement.groups]


def test_a_plan_stands_on_few_lines():
    group = Group("g0", ("v100-0:0", "v100-0:1"), ParallelConfig(1, 2), ("m0", "m1"))
    plan = Plan(Placement((group,)), predicted={"slo_attainment": 0.99}, inputs={"trace": "sha256:ab"})
    assert format_plan(plan) == (
        "api_version: v1alpha1\n"
        "kind: PlacementPlan\n"
        "groups:\n"
        "- id: g0\n"
        "  devices: ['v100-0:0', 'v100-0:1']\n"
        "  tensor: 1\n"
        "  pipeline: 2\n"
        "  models: [m0, m1]\n"
        "predicted: {slo_attainment: 0.99}\n"
        "inputs: {trace: 'sha256:ab'}\n"
    )


def test_numpy_numbers_in_a_plan_become_plain():
    import numpy as np

    plan = Plan(Placement(()), predicted={"p99_s": np.float64(0.5), "n": np.int64(3), "list": (1, 2)})
    read = parse_plan(format_plan(plan), name="plan.yaml")
    assert read.predicted == {"p99_s": 0.5, "n": 3, "list": [1, 2]}


STEP_TIMES = st.builds(StepTimes, FLOATS, FLOATS, FLOATS)


@st.composite
def profiles(draw):
    configs = draw(
        st.lists(
            st.builds(ParallelConfig, st.integers(1, 8), st.integers(1, 4)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    entries = {}
    generates = draw(st.booleans())
    for config in configs:
        sizes = {1, *draw(st.lists(st.integers(2, 64), max_size=3))}
        stages = st.tuples(*[FLOATS] * config.pipeline)
        weights = st.tuples(*[st.integers(0, 2**50)] * config.pipeline)
        entries[config] = ProfileEntry(
            config,
            draw(weights),
            {size: draw(weights) for size in sorted(sizes)},
            {size: draw(stages) for size in sorted(sizes)},
            draw(st.tuples(*[STEP_TIMES] * config.pipeline)) if generates else (),
            draw(weights) if generates else (),
        )
    provenance = Provenance(draw(st.sampled_from(["measured", "imported", "estimated"])), draw(st.text()))
    length = draw(st.none() | st.integers(1, 10**6))
    return Profile(draw(NAMES), draw(NAMES), entries, provenance, length)


@settings(deadline=None)
@given(profiles())
def test_a_profile_comes_back_as_it_was(profile):
    assert parse_profile(format_profile(profile), name="p.json") == profile


def test_a_profile_may_be_yaml():
    text = """
kind: ModelProfile
model: m
device_type: cpu
entries:
- {tensor: 1, pipeline: 2, weight_bytes: [1GiB, 512MiB], stage_latency_s: {1: [0.5, 1e-3]}}
"""
    entry = parse_profile(text, name="p.yaml").entries[ParallelConfig(1, 2)]
    assert entry.weight_bytes == (2**30, 2**29)
    assert entry.stage_latency_s == {1: (0.5, 0.001)}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(profiles(), st.data())
def test_a_damaged_profile_is_explained(profile, data):
    text = format_profile(profile)
    start = data.draw(st.integers(0, len(text) - 1))
    damaged = (
        text[:start] + data.draw(st.sampled_from(["", "}", '"', "[", "-", "null", "9"])) + text[start + 1 :]
    )
    try:
        parse_profile(damaged, name="p.json")
    except InvalidInput as error:
        assert error.where and error.hint


def test_json_with_a_million_brackets_is_refused_quickly():
    try:
        parse_profile('{"a": ' + "[" * 1_000_000, name="p.json")
    except InvalidInput as error:
        assert "nested deeper" in error.message
    assert json.loads("[]") == []
