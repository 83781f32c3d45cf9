"""What a worker's process is told before jax is imported in it."""

from __future__ import annotations

import pickle

import pytest

from vocabulary.errors import InvalidInput
from workers.actor import device_environment


def test_virtual_devices_are_as_many_as_the_group_has_whatever_was_inherited():
    environment = device_environment("cpu", (2, 3), {"JAX_NUM_CPU_DEVICES": "8", "CUDA_VISIBLE_DEVICES": "0"})
    assert environment["JAX_PLATFORMS"] == "cpu"
    assert environment["JAX_NUM_CPU_DEVICES"] == "2"


def test_errors_keep_their_place_and_hint_on_the_way_between_processes():
    error = pickle.loads(pickle.dumps(InvalidInput("message", where="place", hint="remedy")))
    assert (type(error), error.message, error.where, error.hint) == (
        InvalidInput,
        "message",
        "place",
        "remedy",
    )


def test_gpus_are_those_of_the_plan():
    assert device_environment("cuda", (2, 3), {})["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_gpus_are_counted_among_those_that_the_node_was_given():
    inherited = {"CUDA_VISIBLE_DEVICES": "4,5,GPU-8f2c,7"}
    assert device_environment("cuda", (2, 0), inherited)["CUDA_VISIBLE_DEVICES"] == "GPU-8f2c,4"


def test_a_gpu_that_the_node_was_not_given_is_refused():
    with pytest.raises(InvalidInput, match=r"device 3 .*CUDA_VISIBLE_DEVICES=4,5"):
        device_environment("cuda", (0, 3), {"CUDA_VISIBLE_DEVICES": "4,5"})
