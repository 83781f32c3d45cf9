"""The published algorithms: replica for replica where the workloads are there, by hand where not."""

from dataclasses import replace

import numpy as np
import pytest

from placement.baselines import published_layouts
from placement.buckets import buckets_of, splits_of
from placement.groups import hosts_of
from placement.problem import Problem
from placement.search import PUBLISHED, search
from simulator.fast import Scorer
from tests.placement import published
from tests.placement.fleets import deployment, model, profile, requests
from vocabulary.placement import Placement

CASES = [
    (path.parent.name, path.name.split(".")[1]) for path in sorted(published.FOLDER.glob("w*/plan.*.yaml"))
]


def contents(placement: Placement) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(group.devices, tuple(sorted(group.models))) for group in placement.groups]


@published.needed
@pytest.mark.parametrize(("name", "algorithm"), CASES, ids=["-".join((n[:2], a)) for n, a in CASES])
def test_a_published_algorithm_finds_the_published_plan(name: str, algorithm: str) -> None:
    fleet = published.deployment(name)
    found = search(fleet, published.trace(name, "train"), algorithm=algorithm)
    assert contents(found.placement) == contents(published.placement(name, algorithm))
    figures = published.figures(name)[algorithm]
    for which in ("train", "test"):
        scorer = Scorer(published.trace(name, which), deployment=fleet, trim_s=10.0)
        index = {model: number for number, model in enumerate(fleet.model_names)}
        groups = found.placement.groups
        content = [[index[model] for model in group.models] for group in groups]
        tally = scorer.tally(tuple(group.config for group in groups), content)
        assert tally.attainment == figures[f"goodput_{which}"]


def test_uniform_replication_deals_models_cyclically() -> None:
    fleet = deployment(*(model(name, 40) for name in "abc"), num_devices=3)
    found = search(fleet, requests({"a": 1.0, "b": 1.0, "c": 1.0}), algorithm="sr-uniform")
    assert [group.models for group in found.placement.groups] == [("a", "b"), ("b", "c"), ("a", "c")]


def test_round_robin_deals_models_to_pipelines_of_four() -> None:
    fleet = deployment(*(model(name, 120) for name in "abc"), num_hosts=2)
    found = search(fleet, requests({"a": 1.0, "b": 1.0, "c": 1.0}), algorithm="mp-round-robin")
    assert [group.models for group in found.placement.groups] == [("a", "b", "c"), ("a", "b", "c")]
    assert {group.config.pipeline for group in found.placement.groups} == {4}


def test_layouts_are_equal_groups_with_at_most_four_sharing_an_operator() -> None:
    fleet = deployment(model("a", 1), num_hosts=1, num_devices=8)
    configs = [layout[0].config for layout in published_layouts(hosts_of(fleet.cluster))]
    assert [(config.tensor, config.pipeline) for config in configs] == [
        (1, 1), (2, 1), (1, 2), (4, 1), (2, 2), (1, 4), (4, 2), (2, 4), (1, 8),
    ]  # fmt: skip


def test_models_of_like_latency_share_a_bucket() -> None:
    latencies_s = {"a": 1.0, "b": 2.0, "c": 1.3, "d": 1.5, "e": 1.39}
    models = [
        replace(model(name, 1), profile=profile(1, (1, 1), latency_s=latency_s))
        for name, latency_s in latencies_s.items()
    ]
    problem = Problem(deployment(*models), requests(dict.fromkeys(latencies_s, 1.0)))
    # Within 38 % of a bucket's first member; the first bucket that fits.
    assert buckets_of(problem) == ((0, 2), (1, 3, 4))


def test_splits_give_every_bucket_a_device_and_add_up() -> None:
    splits = list(splits_of(16, 2, host_size=8))
    assert len(splits) == 15
    assert np.all(np.array(splits).sum(axis=1) == 16)
    # 12 devices on hosts of 8: one part ends at a host, or the other has the rest of a host.
    assert list(splits_of(12, 2, host_size=8)) == [(11, 1), (10, 2), (9, 3), (8, 4)]


def test_every_published_algorithm_is_repeatable() -> None:
    pipelines = [(1, stages) for stages in (1, 2, 4, 8)]
    fleet = deployment(*(model(name, 50, *pipelines) for name in "abc"), num_devices=8)
    trace = requests({"a": 6.0, "b": 9.0, "c": 3.0})
    for name in PUBLISHED:
        first, second = (search(fleet, trace, algorithm=name) for _ in range(2))
        assert first.placement == second.placement, name
