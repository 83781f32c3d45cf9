"""Words between processes of a real Ray cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.on_ray.connection import agree_on_token
from controller.on_ray.local import LocalRay
from controller.on_ray.map import RayMap
from controller.on_ray.rendezvous import RayRendezvous

PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="statmux-", dir="/tmp"))
    agree_on_token()
    ray = LocalRay({"n-0": 1}, folder=folder)
    ray.launch()
    yield ray.wait(timeout_s=PATIENCE_S, progress=lambda words: None)
    ray.stop()
    shutil.rmtree(folder, ignore_errors=True)


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
