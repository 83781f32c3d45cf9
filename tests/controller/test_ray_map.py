"""Points and words on one real Ray: values come back, errors as they were raised, nothing is left."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.on_ray.connection import agree_on_token
from controller.on_ray.local import LocalRay
from controller.on_ray.map import RayMap
from controller.on_ray.rendezvous import RayRendezvous
from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.points import base_point, moved
from tests.placement.fleets import deployment, model, requests
from vocabulary.errors import InvalidInput, RuntimeFailure, Unreachable

PATIENCE_S = 90.0
FLEET = deployment(model("a", 50), model("b", 50))
TRACE = requests({"a": 4.0, "b": 2.0}, duration_s=20.0)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="statmux-", dir="/tmp"))
    agree_on_token()
    ray = LocalRay({"n-0": 1}, folder=folder)
    ray.launch()
    yield ray.wait(timeout_s=PATIENCE_S, progress=lambda words: None)
    ray.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.cluster
def test_points_on_ray_are_the_points_of_this_process(address: str) -> None:
    study = Study(FLEET, TRACE, TRACE)
    base = base_point(FLEET.cluster)
    probes = [Probe(moved(base, "devices", count, resized=0), algorithm="sr-greedy") for count in (1, 2, 4)]
    ray = RayMap(evaluate, study, address=address, cpus_per_call=0.0)
    try:
        promises = [ray.submit(probe) for probe in probes]
        found = [promise.result(timeout=60) for promise in promises]
        wrong = ray.submit(Probe(base, algorithm="no such algorithm"))
        with pytest.raises(InvalidInput, match="no such algorithm"):
            wrong.result(timeout=60)
    finally:
        ray.close()
    here = [evaluate(study, probe) for probe in probes]
    assert [one.slo_attainment for one in found] == [one.slo_attainment for one in here]
    assert [one.placement for one in found] == [one.placement for one in here]


@pytest.mark.cluster
def test_a_ray_without_processors_is_refused_before_anything_waits_for_them(address: str) -> None:
    for _ in range(2):  # and has been left, so that it can be joined again
        with pytest.raises(RuntimeFailure, match="has 0 CPUs, a call needs 1") as caught:
            RayMap(evaluate, None, address=address)
        assert caught.value.hint


def act(rendezvous: RayRendezvous, order: tuple[str, str, bytes]) -> bytes | None:
    """In a worker of Ray's."""
    verb, key, value = order
    if verb == "put":
        return rendezvous.put(key, value)
    return rendezvous.get(key)


@pytest.mark.cluster
def test_a_word_that_one_process_leaves_is_found_by_others_until_it_is_dropped(address: str) -> None:
    unique_id = bytes(range(128))
    here = RayRendezvous()
    workers = RayMap(act, here, address=address, cpus_per_call=0.0)
    try:
        assert workers.submit(("get", "one", b"")).result(PATIENCE_S) is None
        workers.submit(("put", "one", unique_id)).result(PATIENCE_S)
        assert here.get("one") == unique_id
        here.put("two", unique_id[::-1])
        assert workers.submit(("get", "two", b"")).result(PATIENCE_S) == unique_id[::-1]
        here.drop("one")
        here.drop("one")
        assert workers.submit(("get", "one", b"")).result(PATIENCE_S) is None
    finally:
        workers.close()


def test_a_ray_that_nobody_runs_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(Unreachable, match="no Ray cluster answers"):
        RayMap(evaluate, None, address=address)
