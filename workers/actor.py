"""The process that leads one group, as an actor: the controller makes one of it with `ray.remote`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import ray
from ray.util.placement_group import PlacementGroup, get_current_placement_group, remove_placement_group

from resharding.transport.endpoints import Endpoint
from resharding.transport.host import HostTransport
from vocabulary.errors import InvalidInput
from workers.compile_cache import compile_cache_environment
from workers.engine import ModelInterface
from workers.host import WorkerHost
from workers.multicast import Load, Multicast
from workers.orphans import OrphanWatch, end_orphaned
from workers.spec import Address, FollowerAddress, WorkerSpec

# A process that a start has begun to make waits so long for what comes next: others may read large weights.
STARTING_GRACE_S = 600.0


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


@dataclass(frozen=True, slots=True)
class Resumed:
    """A group that runs already: its spec with the models that it has now. endpoint: if it computes."""

    spec: WorkerSpec
    started: Started
    endpoint: Endpoint | None
    identity: Identity


@final
class GroupWorker:
    """Prepares its process for the group's devices, then runs one WorkerHost.

    Methods run on different threads; `prepare`, `read`, `start` are called once. Errors rise as they are.
    A process that nobody wants ends itself and gives its reservation back: when nothing was asked of it for
    `starting_grace_s` before it listens, and when no front end was linked for the spec's `orphan_grace_s`
    afterwards.
    """

    def __init__(
        self,
        *,
        engine: str,
        platform: str,
        device_indices: tuple[int, ...],
        starting_grace_s: float = STARTING_GRACE_S,
    ) -> None:
        self._engine = engine
        self._platform = platform
        self._device_indices = device_indices
        self._ended = threading.Event()
        self._host: WorkerHost | None = None
        self._more: WorkerSpec | None = None
        self._transport: HostTransport | None = None
        self._reservation: PlacementGroup | None = None
        self._watch = OrphanWatch(self._end_orphaned, grace_s=starting_grace_s)

    def prepare(self) -> Identity:
        """Choose the devices that jax will see. Raises InvalidInput for those that are not there."""
        with self._watch.held():
            self._reservation = get_current_placement_group()
            if self._engine == "jax":
                _choose_devices(self._platform, self._device_indices)
            return _identity()

    def open(self, host: str, timeout_s: float) -> Endpoint:
        """Where other groups' processes, and followers, reach this one."""
        with self._watch.held():
            self._transport = HostTransport(address=host, timeout_s=timeout_s)
            return self._transport.endpoint()

    def read(self, spec: WorkerSpec, expected: tuple[str, ...] = ()) -> None:
        """Read the weights of the group's models (slow) but the `expected`. Raises StatmuxError."""
        assert self._host is None, "started twice"
        with self._watch.held():
            self._host = WorkerHost(spec, transport=self._transport, linked=self._tell_linked)
            self._host.read(expected=expected)

    def start(self, multicasts: tuple[Multicast, ...] = ()) -> Started:
        """Take part in these, load the group's models (slow) and listen. Raises StatmuxError."""
        host = self._running()
        with self._watch.held():
            host.start(multicasts)
            self._watch.wait_for(host.spec.orphan_grace_s)
            return _started(host)

    def give(self, multicasts: tuple[Multicast, ...]) -> None:
        """Give weights to new replicas of other groups."""
        if self._host is not None:
            self._host.give(multicasts)

    def read_more(self, spec: WorkerSpec, add: tuple[str, ...], expected: tuple[str, ...] = ()) -> None:
        """Read the weights of further models (slow) but the `expected`; spec: with all models afterwards.

        The others serve meanwhile, also if this raises StatmuxError.
        """
        host = self._running()
        with self._watch.held():
            self._more = _only(spec, {*add, *(one.name for one in host.spec.models)})
            host.read_more(self._more, expected=expected)

    def add(self, models: tuple[str, ...], multicasts: tuple[Multicast, ...] = ()) -> Started:
        """Take part in these and serve the models that were read (slow), too.

        The others serve meanwhile, also if this raises StatmuxError.
        """
        host = self._running()
        assert self._more is not None, "read_more first"
        with self._watch.held():
            host.add(_only(self._more, {*models, *(one.name for one in host.spec.models)}), multicasts)
            return _started(host)

    def remove(self, models: tuple[str, ...]) -> Started:
        """Forget models, whose requests end, and give their memory back. Raises RuntimeFailure."""
        host = self._running()
        with self._watch.held():
            host.remove(models)
            return _started(host)

    def resume(self) -> Resumed:
        """For a controller that has come back. What the last one began to add is forgotten."""
        host = self._running()
        with self._watch.held():
            host.drop_unfinished()
            endpoint = None if self._transport is None else self._transport.endpoint()
            return Resumed(host.spec, _started(host), endpoint, _identity())

    def wait(self) -> None:
        """Return when the group was stopped; a process that dies makes this call fail."""
        self._ended.wait()

    def stop(self) -> None:
        self._watch.close()
        self._stop_host()
        self._ended.set()

    def _stop_host(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            host.stop()

    def _running(self) -> WorkerHost:
        assert self._host is not None, "read first"
        return self._host

    def _tell_linked(self, is_linked: bool) -> None:
        if is_linked:
            self._watch.hold()
        else:
            self._watch.release()

    def _end_orphaned(self) -> None:
        path = "" if self._host is None else self._host.spec.socket_path
        # `wait` is not kept: who still listens to it hears that the process died.
        end_orphaned(self._stop_host, socket_path=path, give_back=lambda: _give_back(self._reservation))


@final
class FollowerWorker:
    """Prepares its process for the devices of one of a group's further hosts, then runs a Follower.

    Methods run on different threads; `prepare`, then `listen`, are called once. Errors rise as they are.
    It ends itself as a GroupWorker does, as long as it has no leader.
    """

    def __init__(
        self,
        *,
        platform: str,
        device_indices: tuple[int, ...],
        starting_grace_s: float = STARTING_GRACE_S,
    ) -> None:
        self._platform = platform
        self._device_indices = device_indices
        self._follower: Any = None
        self._reservation: PlacementGroup | None = None
        self._watch = OrphanWatch(self._end_orphaned, grace_s=starting_grace_s)

    def prepare(self) -> Identity:
        """As GroupWorker's."""
        self._reservation = get_current_placement_group()
        _choose_devices(self._platform, self._device_indices)
        return _identity()

    def listen(self, spec: WorkerSpec, place: int) -> FollowerAddress:
        """Where the leader finds it; what it loads, and when, the leader says."""
        # jax is imported only now that its devices are chosen.
        from workers.follower import Follower

        assert self._follower is None, "started twice"
        self._follower = Follower(spec, place=place, led=self._tell_led)
        return self._follower.listen()

    def learn(self, spec: WorkerSpec) -> None:
        """The group is to have the models of this spec; the leader says when."""
        self._follower.learn(spec)

    def wait(self) -> None:
        """Return when the leader is gone; a process that dies makes this call fail."""
        self._follower.wait()

    def stop(self) -> None:
        self._watch.close()
        if self._follower is not None:
            self._follower.stop()

    def _tell_led(self, is_led: bool) -> None:
        if is_led:
            self._watch.hold()
        else:
            self._watch.wait_for(self._follower.orphan_grace_s)
            self._watch.release()

    def _end_orphaned(self) -> None:
        end_orphaned(self.stop, give_back=lambda: _give_back(self._reservation))


def _give_back(reservation: PlacementGroup | None) -> None:
    """With it go all actors of the group."""
    if reservation is not None:
        remove_placement_group(reservation)


def _started(host: WorkerHost) -> Started:
    return Started(host.address, host.interfaces(), host.loads())


def _only(spec: WorkerSpec, names: Collection[str]) -> WorkerSpec:
    models = tuple(one for one in spec.models if one.name in names)
    return replace(spec, models=models, group=replace(spec.group, models=tuple(one.name for one in models)))


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
