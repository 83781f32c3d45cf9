"""The process that leads one group, as an actor: the controller makes one of it with `ray.remote`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import ray

from resharding.transport.endpoints import Endpoint
from resharding.transport.host import HostTransport
from vocabulary.errors import InvalidInput
from workers.compile_cache import compile_cache_environment
from workers.engine import ModelInterface
from workers.host import WorkerHost
from workers.multicast import Load, Multicast
from workers.spec import Address, FollowerAddress, WorkerSpec


@dataclass(frozen=True, slots=True)
class Identity:
    """Where an actor runs: Ray's id of the node, and the process there."""

    node_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class Started:
    """A group that listens: where, what its models take and give, and how their weights came."""

    address: Address
    interfaces: Mapping[str, ModelInterface]
    loads: tuple[Load, ...] = ()


@final
class GroupWorker:
    """Prepares its process for the group's devices, then runs one WorkerHost.

    Methods run on different threads; `prepare`, `read`, `start` are called once. Errors rise as they are.
    """

    def __init__(self, *, engine: str, platform: str, device_indices: tuple[int, ...]) -> None:
        self._engine = engine
        self._platform = platform
        self._device_indices = device_indices
        self._ended = threading.Event()
        self._host: WorkerHost | None = None
        self._transport: HostTransport | None = None

    def prepare(self) -> Identity:
        """Choose the devices that jax will see. Raises InvalidInput for those that are not there."""
        if self._engine == "jax":
            _choose_devices(self._platform, self._device_indices)
        return _identity()

    def open(self, host: str, timeout_s: float) -> Endpoint:
        """Where other groups' processes, and followers, reach this one."""
        self._transport = HostTransport(address=host, timeout_s=timeout_s)
        return self._transport.endpoint()

    def read(self, spec: WorkerSpec, expected: tuple[str, ...] = ()) -> None:
        """Read the weights of the group's models (slow) but the `expected`. Raises StatmuxError."""
        assert self._host is None, "started twice"
        self._host = WorkerHost(spec, transport=self._transport)
        self._host.read(expected=expected)

    def start(self, multicasts: tuple[Multicast, ...] = ()) -> Started:
        """Take part in these, load the group's models (slow) and listen. Raises StatmuxError."""
        assert self._host is not None, "read first"
        address = self._host.start(multicasts)
        return Started(address, self._host.interfaces(), self._host.loads())

    def give(self, multicasts: tuple[Multicast, ...]) -> None:
        """Give weights to new replicas of other groups."""
        if self._host is not None:
            self._host.give(multicasts)

    def wait(self) -> None:
        """Return when the group was stopped; a process that dies makes this call fail."""
        self._ended.wait()

    def stop(self) -> None:
        if self._host is not None:
            self._host.stop()
            self._host = None
        self._ended.set()


@final
class FollowerWorker:
    """Prepares its process for the devices of one of a group's further hosts, then runs a Follower.

    Methods run on different threads; `prepare`, then `listen`, are called once. Errors rise as they are.
    """

    def __init__(self, *, platform: str, device_indices: tuple[int, ...]) -> None:
        self._platform = platform
        self._device_indices = device_indices
        self._follower: Any = None

    def prepare(self) -> Identity:
        """As GroupWorker's."""
        _choose_devices(self._platform, self._device_indices)
        return _identity()

    def listen(self, spec: WorkerSpec, place: int) -> FollowerAddress:
        """Where the leader finds it; what it loads, and when, the leader says."""
        # jax is imported only now that its devices are chosen.
        from workers.follower import Follower

        assert self._follower is None, "started twice"
        self._follower = Follower(spec, place=place)
        return self._follower.listen()

    def wait(self) -> None:
        """Return when the leader is gone; a process that dies makes this call fail."""
        self._follower.wait()

    def stop(self) -> None:
        if self._follower is not None:
            self._follower.stop()


def _choose_devices(platform: str, device_indices: tuple[int, ...]) -> None:
    # jax reads its environment when it is imported: afterwards these settings would do nothing.
    assert "jax" not in sys.modules, "jax was imported before its devices were chosen"
    os.environ.update(compile_cache_environment(os.environ))
    os.environ.update(device_environment(platform, device_indices, os.environ))


def _identity() -> Identity:
    return Identity(ray.get_runtime_context().get_node_id(), os.getpid())


def device_environment(
    platform: str, device_indices: tuple[int, ...], inherited: Mapping[str, str]
) -> Mapping[str, str]:
    """What makes jax see exactly the group's devices, as many as `device_indices`.

    On "cpu" they are virtual, with a compute thread each: the workers of a host share its cores.
    Raises InvalidInput for a GPU that the node does not have.
    """
    if platform == "cpu":
        return {
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(len(device_indices)),
            "NPROC": str(len(device_indices)),  # what XLA sizes its thread pool by
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
    return {
        "JAX_PLATFORMS": "",
        "CUDA_VISIBLE_DEVICES": _visible(device_indices, inherited.get("CUDA_VISIBLE_DEVICES", "")),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def _visible(device_indices: tuple[int, ...], inherited: str) -> str:
    """Indices count among the GPUs that the node was itself given, where it was given only some."""
    given = [name for name in inherited.split(",") if name]
    if not given:
        return ",".join(str(index) for index in device_indices)
    if max(device_indices) >= len(given):
        raise InvalidInput(
            f"device {max(device_indices)} is not on this node, which sees CUDA_VISIBLE_DEVICES={inherited}",
            hint="lower `devices.count` of its class, or start Ray there with all its GPUs",
        )
    return ",".join(given[index] for index in device_indices)
