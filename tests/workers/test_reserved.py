"""What workers say of their devices' memory: weights and pages, array by array, until the model goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.workers.device_group import LIMITS, spec_of
from vocabulary.parallel import ParallelConfig
from workers.device_memory import DeviceMemory, measured
from workers.generation.model import GeneratingModel
from workers.loading import Loader
from workers.multicast import STORE


def loaded(folder: Path, *models: str, config: ParallelConfig | None = None) -> Loader:
    loader = Loader(spec_of(folder, *models, config=config), place=0)
    loader.read()
    loader.receive(())
    loader.compile()
    return loader


@pytest.mark.parametrize("config", [ParallelConfig(), ParallelConfig(2, 1), ParallelConfig(1, 2)], ids=str)
def test_devices_hold_the_weights_that_came_each_its_own_part(tmp_path: Path, config: ParallelConfig):
    loader = loaded(tmp_path, "bert", "gpt2", config=config)
    memory = loader.device_memory()
    stages = [stage for stage in range(config.pipeline) for _ in range(config.tensor)]
    assert [one.stage for one in memory] == stages
    assert sum(one.used_bytes for one in memory) == sum(load.num_bytes for load in loader.loads) > 0
    assert all(one.used_bytes > 0 and one.total_bytes == 0 for one in memory)
    loader.remove(["bert"])
    (left,) = loader.loads
    assert sum(one.used_bytes for one in loader.device_memory()) == left.num_bytes
    loader.remove(["gpt2"])
    assert {one.used_bytes for one in loader.device_memory()} == {0}


def test_pages_are_held_beside_the_weights(tmp_path: Path):
    loader = loaded(tmp_path, "chat")
    (load,) = loader.loads
    model = loader._ready["chat"]
    assert isinstance(model, GeneratingModel)
    pages = sum(array.nbytes for array in model.pages())
    assert pages >= LIMITS.num_pages * LIMITS.page_tokens * sum(model.kv_bytes_per_token)
    assert loader.device_memory() == (DeviceMemory(0, load.num_bytes + pages),)
    loader.remove(["chat"])


def test_a_load_says_how_long_weights_took_and_how_long_they_were_compiled_for(tmp_path: Path):
    loader = loaded(tmp_path, "gpt2")
    (load,) = loader.loads
    assert (load.model, load.origin) == ("gpt2", STORE)
    assert load.seconds > 0
    assert load.compile_s > 0
    loader.remove(["gpt2"])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, DeviceMemory(1, 7)),
        ({}, DeviceMemory(1, 7)),
        ({"bytes_in_use": 100, "bytes_limit": 1000}, DeviceMemory(1, 100, 1000)),
        ({"bytes_in_use": 100}, DeviceMemory(1, 100, 0)),
    ],
)
def test_what_a_device_measures_is_told_before_what_was_counted(
    told: Mapping[str, Any] | None, expected: DeviceMemory
):
    class Device:
        def memory_stats(self) -> Mapping[str, Any] | None:
            return told

    assert measured(Device(), stage=1, reserved_bytes=7) == expected
