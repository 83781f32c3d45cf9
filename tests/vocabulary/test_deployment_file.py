"""Deployment files: defaults, shorthands, overrides, variables, and the complete draft of the conventions."""

from __future__ import annotations

import copy
import typing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.admission import ADMISSION
from scheduling.batching import BATCHING
from scheduling.dispatch import ROUTERS
from scheduling.queueing import ORDERS
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, HttpEndpoint, ModelSpec, Policy, Slo
from vocabulary.errors import InvalidInput
from vocabulary.formats import disk
from vocabulary.formats.deployment import parse_deployment
from vocabulary.formats.serving_shape import AdmissionShape, PolicyShape
from vocabulary.formats.yaml_out import format_yaml
from vocabulary.formats.yaml_text import read_yaml
from vocabulary.generation import GenerationSettings
from vocabulary.mesh import Cluster, Links, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "data" / "alpaserve"
PROFILE = Profile(
    "m",
    "v100",
    {ParallelConfig(): ProfileEntry(ParallelConfig(), (2**30,), {}, {1: (0.1,)})},
)
MINIMAL = "models:\n- {name: m0, profile: p.json}\n- {name: bert-2.6b, source: 'random://bert-tiny'}\n"


def parse(text: str, *overrides: str, **environment: str) -> Deployment:
    return parse_deployment(
        text, name="d.yaml", read_profile=lambda _: PROFILE, overrides=overrides, environment=environment
    )


def test_a_minimal_file_has_the_defaults_of_the_nouns():
    deployment = parse(MINIMAL)
    assert deployment.model_names == ("m0", "bert-2.6b")
    assert deployment.models[0].profile == PROFILE
    assert deployment.models[1].source == "random://bert-tiny"
    plain = Deployment(deployment.name, deployment.cluster, deployment.models)
    for key in ("policy", "latency", "grpc", "metrics", "drain", "algorithm", "beam_width", "security"):
        assert getattr(deployment, key) == getattr(plain, key), key
    assert deployment.policy == Policy("prefix_affinity", "fcfs", "slo", 0.0, "none")
    assert [model.min_replicas for model in deployment.models] == [0, 0]
    assert deployment.accepted_only == ()


def test_a_file_without_nodes_has_one_device_of_the_type_its_profiles_are_for():
    assert parse(MINIMAL).cluster == Cluster((NodeClass("local", 1, "v100", 1, 16 * 2**30),))
    only_source = "models: [{name: a, source: x}]"
    assert parse(only_source).cluster.nodes[0].device_type == "cpu"


def test_quantities_and_shorthands_are_understood():
    deployment = parse(
        MINIMAL
        + """
cluster:
  reserve: 0.25
  nodes: [{name: n, count: 2, devices: {type: v100, count: 4, memory: 13GiB}}]
  network: {inter_node_bandwidth: 100Gb/s, latency: 20us}
serving: {policy: {admission: none, batching: deadline, max_batch_size: 8}}
endpoints: {grpc: {max_message: 1MiB}}
"""
    )
    assert deployment.cluster == Cluster(
        (NodeClass("n", 2, "v100", 4, 13 * 2**30),), 0.25, links=Links(12.5e9, 20 * 1e-6)
    )
    assert deployment.policy.admission == "none"
    assert deployment.policy.batching == "deadline"
    assert deployment.policy.max_batch_size == 8
    assert deployment.grpc.max_message_bytes == 2**20
    assert deployment.accepted_only == ()


def test_milliseconds_become_the_nearest_seconds():
    deployment = parse("models: [{name: a, profile: p, slo: {latency_ms: 1190.0}}]")
    assert deployment.models[0].slo.latency_s == 1.19


def test_the_choices_of_the_file_are_those_of_the_scheduler():
    def choices(shape, key):
        return set(typing.get_args(shape.model_fields[key].annotation))

    assert choices(PolicyShape, "router") == set(ROUTERS)
    assert choices(PolicyShape, "queue") == set(ORDERS)
    assert choices(PolicyShape, "batching") == set(BATCHING)
    assert choices(AdmissionShape, "mode") == set(ADMISSION)


def test_the_complete_draft_of_the_conventions_is_valid_and_says_what_has_no_effect():
    deployment = parse((HERE / "complete.yaml").read_text())
    assert deployment.policy == Policy(
        "shortest_expected_delay", "edf", "slo", 0.005, max_queued_requests=1000
    )
    assert deployment.name == "demo-fleet"
    assert deployment.models[0].min_replicas == 1
    assert "models[].batching.max_wait_ms" in deployment.accepted_only
    assert "serving.policy.default_timeout_s" in deployment.accepted_only
    assert "serving.autoscaling" not in deployment.accepted_only  # it is off, which is what happens
    assert deployment.http == HttpEndpoint()
    assert len(deployment.accepted_only) == len(set(deployment.accepted_only)) == 17
    assert deployment.cluster.nodes[0].cost_per_hour == 29.5


def test_what_a_generating_model_may_hold_is_read():
    deployment = parse(
        """models:
- name: a
  profile: p
  slo: {ttft_ms: 500, tpot_ms: 40}
  batching: {max_batch_size: 64, max_batch_tokens: 8192, chunked_prompts: false}
  kv_cache: {memory_fraction: 0.5, block_size: 32, prefix_caching: false, reserve_output: true}
- {name: b, profile: p, kv_cache: {memory_fraction: auto, num_pages: 100, num_host_pages: 50, eviction: cost}}
"""
    )
    first, second = deployment.models
    assert first.slo == Slo(None, None, 0.5, 0.04)
    assert first.generation == GenerationSettings(0.5, None, 32, 8192, 64, False, True, False)
    assert second.generation == GenerationSettings(num_pages=100, num_host_pages=50, eviction="cost")
    assert deployment.accepted_only == ()


def test_settings_of_generation_for_a_model_that_does_not_generate_are_warned_of():
    quiet, told = parse(MINIMAL), parse("models: [{name: a, profile: p, slo: {ttft_ms: 500}}]")
    assert not any("step_times" in warning for warning in quiet.warnings)
    assert any("a profile without step_times: a" in warning for warning in told.warnings)


def test_overrides_win_and_the_last_one_wins_most():
    deployment = parse(
        MINIMAL,
        "simulation.stage_scale_per_stage=0.009",
        "simulation.fixed_overhead_s=0.011",
        "serving.policy.router=least_loaded",
        "serving.policy.router=min_stage_clock",
        "models.0.slo.latency_ms=100",
        "models.bert-2.6b.slo={latency_ms: 200, attainment: 0.9}",
        "models[1].parallelism.tensor=[1, 2]",
    )
    assert deployment.latency == LatencyModel(0.009, 0.011)
    assert deployment.policy.router == "min_stage_clock"
    assert deployment.models[0].slo.latency_s == 0.1
    assert deployment.models[1].slo.latency_s == 0.2
    assert deployment.models[1].parallelism.tensor == (1, 2)


def test_an_override_reaches_inside_a_shorthand():
    text = MINIMAL + "serving: {policy: {admission: slo}}\n"
    assert parse(text, "serving.policy.admission.slack_ms=5").policy.slack_s == 0.005


def test_the_document_shows_the_overrides():
    document = parse(MINIMAL, "metadata.name=x").document
    assert document["metadata"] == {"name": "x"}


def test_variables_are_filled_in_values_only():
    text = MINIMAL + "metadata: {name: '${FLEET:-f}-$${FLEET}'}\nendpoints:\n  grpc:\n    port: ${PORT}\n"
    deployment = parse(text.replace("-$${FLEET}", ""), PORT="9000")
    assert (deployment.name, deployment.grpc.port) == ("f", 9000)
    assert parse(text, PORT="1", FLEET="x").name == "x-${FLEET}"


def test_words_of_yaml_1_1_are_text():
    deployment = parse("models: [{name: no, profile: p, aliases: [1:30, on]}]")
    assert deployment.models[0].name == "no"
    assert deployment.models[0].aliases == ("1:30", "on")


def test_anchors_and_merge_keys_work():
    text = "models:\n- &m {name: a, profile: p, slo: {latency_ms: 5}}\n- {<<: *m, name: b}\n"
    assert [model.slo.latency_s for model in parse(text).models] == [0.005, 0.005]


def test_profiles_are_read_once_and_may_be_still_to_measure(tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text("models: [{name: a, source: x, profile: p.json}]")
    with pytest.raises(InvalidInput):
        disk.load_deployment(path)
    model = disk.load_deployment(path, needs_profiles=False).models[0]
    assert (model.profile, model.profile_path) == (None, "p.json")


def test_five_hundred_models_share_seven_profiles():
    models = "".join(f"- {{name: m{n}, profile: p{n % 7}.json}}\n" for n in range(500))
    paths: list[str] = []

    def read(path: str) -> Profile:
        paths.append(path)
        return PROFILE

    deployment = parse_deployment(f"models:\n{models}", name="d", read_profile=read)
    assert len(deployment.models) == 500
    assert sorted(paths) == [f"p{n}.json" for n in range(7)]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
def test_published_fleets_are_valid_and_their_plans_fit():
    from vocabulary.fit import check_fit

    folders = sorted(SHARED.glob("w*"))
    assert folders
    for folder in folders:
        deployment = disk.load_deployment(folder / "deployment.yaml")
        assert deployment.accepted_only == ()
        assert all(model.profile is not None for model in deployment.models)
        for path in folder.glob("plan.*.yaml"):
            plan = disk.load_plan(path, deployment=deployment)
            check_fit(plan.placement, deployment)
        trace = disk.load_trace(folder / "test.csv.gz", models=deployment.model_names)
        assert trace.models == deployment.model_names


WRONG_VALUES = st.sampled_from(
    [None, True, -1, 0, 1.5, float("nan"), "", "x", [], {}, [[]], {"a": {}}, 10**30]
)


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_wrong_value_anywhere_is_explained_or_harmless(data):
    """Never a traceback: one value of the complete draft is replaced by nonsense."""
    document = copy.deepcopy(read_yaml((HERE / "complete.yaml").read_text(), name="d").value)
    *parents, last = data.draw(st.sampled_from([path for path in _paths(document) if path]))
    target = document
    for key in parents:
        target = target[key]
    target[last] = data.draw(WRONG_VALUES)
    try:
        parse(format_yaml(document))
    except InvalidInput as error:
        assert error.where and error.hint


def test_number_format_and_attention_of_a_model_are_read():
    deployment = parse(
        """models:
- name: a
  source: random://llama-tiny
  dtype: bfloat16
  attention: xla
cluster: {nodes: [{name: n, devices: {memory: 1GiB}}]}
"""
    )
    (model,) = deployment.models
    assert deployment.accepted_only == ()
    assert (model.dtype, model.number_format, model.attention) == ("bfloat16", "bfloat16", "xla")
    assert ModelSpec("a").number_format == "float32"


def test_a_number_format_that_one_shot_requests_do_not_have_is_told():
    told = parse("models: [{name: a, profile: p.json, dtype: bfloat16}]").warnings
    assert any("computed in float32: a" in warning for warning in told)
    quiet = parse("models: [{name: a, profile: p.json, dtype: float32}]").warnings
    assert not any("float32" in warning for warning in quiet)
