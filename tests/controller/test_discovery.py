"""What a host has, from what its tools and files say.

None of this was recorded on a machine: the texts are written by hand in the formats that the tools document.
"""

from __future__ import annotations

import pytest

from controller.discovery import (
    gpu_memory_mib,
    read_nvidia_files,
    read_nvidia_smi,
    read_tpus,
    this_host,
    tpu_generation,
    usable_bytes,
)
from controller.on_ray.discovery import as_yaml, check_nodes_are_told, propose
from controller.on_ray.nouns import RayNode
from tests.controller.ray_fleet import deployment
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment

EIGHT_A100 = "NVIDIA A100-SXM4-80GB, 81920\n" * 8
MEMINFO = "MemTotal:       16393932 kB\nMemFree:         1036888 kB\nMemAvailable:    9000000 kB\n"
DRIVER_FILE = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 215\nGPU UUID: \t GPU-0\nDevice Minor: \t 0\n"


def test_equal_gpus_are_one_class():
    found = read_nvidia_smi(EIGHT_A100)
    assert (found.type, found.count, found.memory_mib) == ("nvidia-a100-sxm4-80gb", 8, 81920)


def test_of_unlike_gpus_the_most_frequent_are_taken_and_the_others_named():
    found = read_nvidia_smi("Tesla T4, 15360\nNVIDIA L4, 23034\nNVIDIA L4, 22000\n")
    assert (found.type, found.count, found.memory_mib) == ("nvidia-l4", 2, 22000)
    assert found.evidence == "nvidia-smi; left out, as they are of other types: tesla-t4"


def test_memory_that_is_not_told_is_looked_up_or_left_open():
    assert read_nvidia_smi("NVIDIA H100 PCIe, [N/A]\n").memory_mib == gpu_memory_mib("h100") > 80_000
    assert read_nvidia_smi("NVIDIA Something New, [Insufficient Permissions]\n").memory_mib == 0


@pytest.mark.parametrize("text", ["", "No devices were found\n", "\n"])
def test_no_gpu_is_none(text: str):
    assert read_nvidia_smi(text) is None


def test_without_the_tool_the_files_of_the_driver_tell_the_model():
    found = read_nvidia_files([DRIVER_FILE] * 2)
    assert (found.type, found.count, found.memory_mib) == ("nvidia-h100-80gb-hbm3", 2, 81559)
    assert read_nvidia_files([]) is None


@pytest.mark.parametrize(
    ("name", "memory_mib"),
    [("Tesla V100-SXM2-32GB", 32768), ("V100", 16384), ("NVIDIA L40S", 46068), ("A100", 40960), ("K80", 0)],
)
def test_memory_by_name_is_the_smallest_that_the_name_allows(name: str, memory_mib: int):
    assert gpu_memory_mib(name) == memory_mib


def test_tpu_chips_are_files_and_their_type_is_in_the_environment():
    found = read_tpus([f"/dev/accel{chip}" for chip in range(4)], {"TPU_ACCELERATOR_TYPE": "v4-8"})
    assert (found.type, found.count, found.memory_mib) == ("tpu-v4", 4, 32 * 1024)
    files = ["/dev/vfio/0", "/dev/vfio/1", "/dev/vfio/vfio", "/dev/vfio/devices"]
    found = read_tpus(files, {"TPU_ACCELERATOR_TYPE": "v5litepod-2"})
    assert (found.type, found.count, found.memory_mib) == ("tpu-v5e", 2, 16 * 1024)


def test_what_may_be_no_tpu_is_none_and_an_unknown_one_has_no_memory():
    assert read_tpus(["/dev/vfio/0", "/dev/vfio/vfio"], {}) is None
    assert read_tpus(["/dev/null", "/dev/acceleration"], {"TPU_ACCELERATOR_TYPE": "v4-8"}) is None
    found = read_tpus(["/dev/accel0"], {})
    assert (found.type, found.count, found.memory_mib) == ("tpu", 1, 0)


def test_generations_go_by_the_names_of_google_and_of_ray():
    assert tpu_generation("TPU-V6E") == tpu_generation("v6e-8")
    assert tpu_generation("v2-8") is None


def test_a_host_has_the_memory_that_its_control_group_allows():
    assert usable_bytes(MEMINFO, []) == 16393932 * 1024
    assert usable_bytes(MEMINFO, ["max\n"]) == 16393932 * 1024
    assert usable_bytes(MEMINFO, ["4294967296\n"]) == 2**32
    assert usable_bytes(MEMINFO, ["9223372036854771712\n"]) == 16393932 * 1024
    assert usable_bytes("", []) == 0


def test_this_host_has_something():
    found = this_host()
    assert found.count > 0
    assert found.memory_mib > 0


def node(number: int, **resources: float) -> RayNode:
    return RayNode(f"id-{number}", f"10.0.0.{number}", resources, {})


A100S = {"GPU": 8.0, "CPU": 96.0, "accelerator_type:A100": 1.0}
NODES = [
    node(1, CPU=4, memory=16 * 2**30),
    node(2, **A100S),
    node(3, **A100S),
    node(4, TPU=4, CPU=240, **{"accelerator_type:TPU-V5P": 1.0, "TPU-v5p-8-head": 1.0}),
    node(5, statmux_device=4, memory=8 * 2**30),
    node(6, **{"node:10.0.0.6": 1.0}),
]


def parsed(cluster: str) -> Deployment:
    text = f"{cluster}\nmodels:\n  - {{name: a, source: 'random://bert-tiny?seed=1'}}\n"
    return parse_deployment(text, name="file", read_profile=lambda path: NotImplemented)


def test_nodes_of_ray_are_proposed_by_class_as_they_would_be_matched():
    assert [
        (one.name, one.count, one.num_devices, one.memory_mib, one.evidence) for one in propose(NODES)
    ] == [
        ("a100", 2, 8, 40960, "GPU: 8"),
        ("cpu", 1, 4, 4096, "CPU: 4"),
        ("cpu-2", 1, 4, 2048, "statmux_device: 4"),
        ("tpu-v5p", 1, 4, 95 * 1024, "TPU: 4"),
    ]


def test_the_proposal_is_what_a_deployment_says():
    read = parsed(f"cluster:\n{as_yaml(propose(NODES))}")
    assert [(one.name, one.count, one.devices_per_host) for one in read.cluster.nodes] == [
        ("a100", 2, 8),
        ("cpu", 1, 4),
        ("cpu-2", 1, 4),
        ("tpu-v5p", 1, 4),
    ]


def test_equal_nodes_are_one_class_though_their_memory_is_not_quite_equal():
    (found,) = propose([node(1, CPU=4, memory=16 * 2**30), node(2, CPU=4, memory=15 * 2**30)])
    assert (found.count, found.memory_mib) == (2, 15 * 1024 // 4)


def test_memory_that_ray_does_not_tell_is_left_to_the_reader():
    (found,) = propose([node(1, GPU=1)])
    assert "memory: <memory of each>" in as_yaml([found])


def test_a_file_that_joins_and_names_no_nodes_is_answered_with_what_to_write():
    read = parsed("cluster: {address: '10.0.0.1:6379'}")
    with pytest.raises(InvalidInput, match="does not say what to use of it") as caught:
        check_nodes_are_told(read, NODES)
    assert "- name: a100\n      count: 2" in caught.value.hint
    with pytest.raises(InvalidInput) as caught:
        check_nodes_are_told(read, [])
    assert "--num-gpus" in caught.value.hint
    check_nodes_are_told(parsed(""), NODES)
    check_nodes_are_told(deployment(ray_address="10.0.0.1:6379"), NODES)
