"""Which devices a host has, as a node class of a deployment: GPUs of NVIDIA, TPUs, or its processors.

What tools and files say is parsed by pure functions; `this_host` looks.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_MIB = 2**20
# A CPU has no devices of its own; a few virtual ones show what placement does.
NUM_VIRTUAL_DEVICES = 4
# Virtual devices share the memory with everything else that runs.
SHARE_OF_MEMORY = 0.5
_NVIDIA_SMI = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
_NVIDIA_SMI_TIMEOUT_S = 5.0
_NVIDIA_FILES = "/proc/driver/nvidia/gpus/*/information"
_MEMINFO = Path("/proc/meminfo")
# Of control groups, version 2 and 1.
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

# MiB by what a name holds, the first that fits: as nvidia-smi tells them. Where a name is sold with several
# memories and does not say with which, the smallest.
_GPU_MEMORY_MIB: tuple[tuple[str, int], ...] = (
    ("b200", 183_359),
    ("h200", 143_771),
    ("h100", 81_559),
    ("a100.*80", 81_920),
    ("a100", 40_960),
    ("l40s", 46_068),
    ("a10g", 23_028),
    ("l4", 23_034),
    ("v100.*32", 32_768),
    ("v100", 16_384),
    ("p100", 16_280),
    ("t4", 15_360),
)


@dataclass(frozen=True, slots=True)
class TpuGeneration:
    """A chip is one device of JAX's."""

    type: str
    memory_mib: int


# By what TPU_ACCELERATOR_TYPE, or Ray's accelerator type, begins with. From the pages on each generation in
# Google's documentation. Of v2 and v3, JAX makes two devices of each chip, and Ray one: they are left out.
_TPUS: Mapping[str, TpuGeneration] = {
    "v4": TpuGeneration("tpu-v4", 32 * 1024),
    "v5litepod": TpuGeneration("tpu-v5e", 16 * 1024),
    "v5p": TpuGeneration("tpu-v5p", 95 * 1024),
    "v6e": TpuGeneration("tpu-v6e", 32 * 1024),
}


@dataclass(frozen=True, slots=True)
class FoundDevices:
    """Equal devices of one host. memory_mib: of each; 0 where nothing tells. evidence: who says so."""

    type: str
    count: int
    memory_mib: int
    evidence: str

    @property
    def is_virtual(self) -> bool:
        return self.type == "cpu"


def this_host() -> FoundDevices:
    """GPUs if there are some, else TPUs, else virtual devices on its processors."""
    return nvidia_devices() or tpu_devices() or virtual_devices()


def nvidia_devices() -> FoundDevices | None:
    """What `nvidia-smi` lists, else the driver's files, which do not say how much memory there is."""
    try:
        listed = subprocess.run(
            _NVIDIA_SMI, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        listed = ""
    found = read_nvidia_smi(listed)
    if found is not None:
        return found
    return read_nvidia_files([file.read_text() for file in sorted(Path("/").glob(_NVIDIA_FILES[1:]))])


def tpu_devices() -> FoundDevices | None:
    names = [str(path) for folder in ("dev", "dev/vfio") for path in sorted(Path("/", folder).glob("*"))]
    return read_tpus(names, os.environ)


def virtual_devices() -> FoundDevices:
    limits = [path.read_text() for path in _MEMORY_LIMITS if path.is_file()]
    total_bytes = usable_bytes(_MEMINFO.read_text() if _MEMINFO.is_file() else "", limits)
    if not total_bytes:
        total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory_mib = int(total_bytes * SHARE_OF_MEMORY / NUM_VIRTUAL_DEVICES / _MIB)
    evidence = (
        f"no accelerator; {len(os.sched_getaffinity(0))} cores, {total_bytes / 2**30:.1f} GiB of memory"
    )
    return FoundDevices("cpu", NUM_VIRTUAL_DEVICES, memory_mib, evidence)


def read_nvidia_smi(text: str) -> FoundDevices | None:
    """Lines of name and MiB. Of unlike GPUs, the most frequent: a node class has equal devices."""
    rows = [line.rpartition(",") for line in text.splitlines() if "," in line]
    names = [_type_of(name) for name, _, _ in rows if name.strip()]
    if not names:
        return None
    kind = max(sorted(set(names)), key=names.count)
    told = [int(memory) for name, _, memory in rows if _type_of(name) == kind and memory.strip().isdecimal()]
    # With memory that is shared with the host, or split up (MIG), there is no number.
    memory_mib = min(told) if told else gpu_memory_mib(kind)
    return FoundDevices(kind, names.count(kind), memory_mib, "nvidia-smi" + _unlike(names, kind))


def read_nvidia_files(texts: Iterable[str]) -> FoundDevices | None:
    """The files of the driver, one for each GPU: `Model:` and a name."""
    models = [re.search(r"^Model:[ \t]*(\S.*)$", text, re.MULTILINE) for text in texts]
    names = [_type_of(found[1]) for found in models if found]
    if not names:
        return None
    kind = max(sorted(set(names)), key=names.count)
    return FoundDevices(
        kind, names.count(kind), gpu_memory_mib(kind), "/proc/driver/nvidia" + _unlike(names, kind)
    )


def read_tpus(device_files: Iterable[str], environment: Mapping[str, str]) -> FoundDevices | None:
    """Chips are files /dev/accel0, or /dev/vfio/0; their type is in the environment of a TPU machine."""
    files = list(device_files)
    chips = [file for file in files if re.fullmatch(r"/dev/accel\d+", file)]
    told = environment.get("TPU_ACCELERATOR_TYPE", "")
    if not chips and told:  # Other devices are given to programs through vfio as well.
        chips = [file for file in files if re.fullmatch(r"/dev/vfio/\d+", file)]
    if not chips:
        return None
    generation = tpu_generation(told)
    where = f"{len(chips)} files like {chips[0]}"
    if generation is None:
        return FoundDevices("tpu", len(chips), 0, f"{where}; TPU_ACCELERATOR_TYPE is {told or 'not set'}")
    evidence = f"{where}, TPU_ACCELERATOR_TYPE={told}"
    return FoundDevices(generation.type, len(chips), generation.memory_mib, evidence)


def tpu_generation(accelerator_type: str) -> TpuGeneration | None:
    """Of `v5litepod-4`, `V4`, `TPU-V6E`."""
    name = accelerator_type.lower().removeprefix("tpu-").partition("-")[0]
    return _TPUS.get(name)


def gpu_memory_mib(name: str) -> int:
    """Of a GPU of this name, 0 if it is not known."""
    words = name.lower()
    return next((mib for pattern, mib in _GPU_MEMORY_MIB if re.search(pattern, words)), 0)


def usable_bytes(meminfo: str, limits: Iterable[str]) -> int:
    """The memory of the machine, or what control groups allow of it; 0 where nothing tells."""
    told = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    amounts = [int(limit) for limit in limits if limit.strip().isdecimal()]
    amounts += [int(told[1]) * 1024] if told else []
    return min(amounts, default=0)


def _type_of(name: str) -> str:
    """As deployments write it: NVIDIA A100-SXM4-80GB is nvidia-a100-sxm4-80gb."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _unlike(names: list[str], kind: str) -> str:
    others = sorted({name for name in names if name != kind})
    return f"; left out, as they are of other types: {', '.join(others)}" if others else ""
