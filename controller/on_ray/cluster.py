"""A fleet's Ray: started, found again or joined; its nodes matched to hosts, its groups run and changed."""

from __future__ import annotations

import dataclasses
import importlib
import os
import secrets
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, final

from controller.keys import FleetKeys, new_keys
from controller.on_ray.connection import Nodes, living_nodes
from controller.on_ray.discovery import check_nodes_are_told
from controller.on_ray.home import RayHome
from controller.on_ray.hosts import device_indices, devices_on, match_hosts, present_hosts
from controller.on_ray.memory import RayMemory, read_memory
from controller.on_ray.names import namespace_of
from controller.on_ray.nodes import NodeWatch
from controller.on_ray.nouns import DevicesChanged, HostNode, Limits, Lost, Progress, Share, StartedGroup
from controller.on_ray.weight_sources import WeightSources
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible, InvalidInput, RuntimeFailure
from workers.spec import WorkerSpec

if TYPE_CHECKING:
    from controller.on_ray.groups import RayGroups

# Socket paths are limited to 108 bytes and Ray adds about 70: TMPDIR is often too long.
_ROOT = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()


@final
class RayCluster:
    """One fleet's Ray. `open`, then the others from any thread; at last `close` or `leave`.

    Calls block. After `close`, and when `open` raises, nothing of the fleet runs. When this process dies,
    its groups, and a Ray of its own, wait `health.orphan_grace_s` for another controller with the same
    `keys`, which opens with what this one told by `memory`; then they end. One at a time in a process.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        progress: Progress,
        keys: FleetKeys | None = None,
        limits: Limits | None = None,
        root: str = _ROOT,
        open_timeout_s: float = 90.0,
    ) -> None:
        self._deployment = deployment
        self._progress = progress
        self._limits = limits or Limits()
        self._namespace = namespace_of(deployment.name, (keys or new_keys()).fleet_key)
        self._home = RayHome(
            deployment,
            keys=keys,
            namespace=self._namespace,
            progress=progress,
            root=root,
            timeout_s=open_timeout_s,
        )
        self._closing = threading.Lock()
        self._is_closed = threading.Event()
        self._ray: ModuleType | None = None
        self._nodes = Nodes((), frozenset())
        self._hosts: Mapping[str, HostNode] = {}
        self._groups: RayGroups | None = None
        self._watches: list[NodeWatch] = []

    @property
    def address(self) -> str:
        """Of the Ray, for other processes."""
        return self._home.address

    @property
    def socket_folder(self) -> str:
        """A private folder for Unix sockets, gone after `close`."""
        return str(self._home.folder)

    @property
    def is_found(self) -> bool:
        """Whether this is the Ray that was remembered."""
        return self._home.is_found

    @property
    def is_alive(self) -> bool:
        """Whether Ray may answer. One that was joined counts as alive: its nodes tell more."""
        return self._home.is_alive()

    def open(self, memory: Mapping[str, Any] | None = None) -> None:
        """Find the Ray of `memory` again, else start or join one, as `cluster.address` says.

        Raises RuntimeFailure when it does not start, Unreachable when none answers at the address, Infeasible
        when its nodes do not offer the deployment's hosts (of a Ray that was found: not one of them).
        """
        try:
            self._open(read_memory(memory))
        except BaseException as error:
            was_closed = self._is_closed.is_set()
            self.close()
            if was_closed and isinstance(error, Exception):
                raise RuntimeFailure("the fleet was stopped while Ray was starting") from error
            raise

    def adopt(self, memory: Mapping[str, Any] | None = None) -> tuple[StartedGroup, ...]:
        """Groups of this fleet that were found running and answer; what else is left of it is ended.

        After `open`, before anything is started; Ray itself knows the groups, not the memory.
        """
        adoption = importlib.import_module("controller.on_ray.adoption")
        found = adoption.find_groups(self._known_shares, timeout_s=self._limits.resume_s)
        return self._opened.take_over(found)

    def start_groups(self, specs: Sequence[WorkerSpec]) -> tuple[StartedGroup, ...]:
        """All groups at once, in the order of `specs`; where each listens is decided here.

        What still runs under their ids is ended first. Raises what a worker raised, Infeasible when devices
        are taken or their host is away, RuntimeFailure when a worker dies or is late; the groups of this call
        are stopped then.
        """
        from controller.on_ray.group import RayGroup

        placed = [(spec, self._shares(spec)) for spec in specs]
        started = self._opened.start(
            [RayGroup(self._listening(spec, shares[0].node), shares) for spec, shares in placed]
        )
        self._home.stay()
        return started

    def change_group(
        self, spec: WorkerSpec, *, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> StartedGroup:
        """A running group gets the models of `spec`, while the others serve: first those to `remove` go.

        Weights come from living replicas where that is estimated to be faster. Raises what the worker raised,
        RuntimeFailure when it dies or is late; then it is as it was, but what was to go besides may be gone.
        """
        return self._opened.change(spec, add=add, remove=remove)

    def stop_groups(self, group_ids: Collection[str]) -> None:
        """Stop these and give their devices back; their ends are not told as losses."""
        self._opened.stop(group_ids)

    def kill_group(self, group_id: str) -> None:
        """End a group that does not answer, at once, and give its devices back; not told as a loss."""
        self._opened.kill(group_id)

    def watch(self, lost: Lost) -> None:
        """Call `lost(group_id, why)`, on another thread, once for each group that dies before it is stopped;
        also of those that are started later."""
        self._opened.watch(lost)

    def watch_nodes(self, changed: DevicesChanged, *, interval_s: float = 1.0) -> None:
        """Call `changed`, on a thread of its own, with the ids of the devices that are there: now, and
        whenever nodes come or go. Ray tells a killed node after seconds; the links of its groups at once."""
        assert self._groups is not None, "open the cluster first"
        watch = NodeWatch(self._look_at_nodes, changed, interval_s=interval_s)
        self._watches.append(watch)
        watch.start()

    def memory(self) -> dict[str, Any]:
        """JSON for `open` of another controller. No secrets."""
        return RayMemory(
            address=self._home.address,
            namespace=self._namespace,
            folder=self.socket_folder,
            keeper_pid=self._home.keeper_pid,
            devices=self._home.devices,
            hosts=dict(self._hosts),
            groups=dict(self._opened.names()),
        ).to_json()

    def leave(self) -> None:
        """End this process's part only: groups go on, and wait for another controller. No call may be going
        on. Afterwards `close` does nothing."""
        self._is_closed.set()
        with self._closing:
            self._stop_watches()
            if self._groups is not None:
                self._groups.leave()
            self._leave_ray()
            self._home.leave()

    def close(self) -> None:
        """Stop the groups, leave Ray, end it if it is ours. May be called again, or while others wait."""
        self._is_closed.set()
        with self._closing:
            self._stop_watches()
            # Without a farewell to a Ray that is dead: calls would wait for it, and end this process.
            if self._groups is not None and self._home.is_alive():
                self._groups.stop_all()
            self._leave_ray()
            self._home.close()

    @property
    def _opened(self) -> RayGroups:
        assert self._groups is not None, "open the cluster first"
        return self._groups

    def _open(self, memory: RayMemory | None) -> None:
        self._nodes = self._home.open(memory)
        # Only now, when the token is agreed on and the nodes are coming up, is there time to import ray.
        self._ray = importlib.import_module("ray")
        groups = importlib.import_module("controller.on_ray.groups")
        self._groups = groups.RayGroups(
            progress=self._progress,
            limits=self._limits,
            weights=WeightSources(self._deployment.cluster),
            is_there=lambda node: self._hosts.get(node.host) == node,
        )
        known = memory.hosts if memory is not None and self.is_found else {}
        self._hosts = present_hosts(self._deployment, self._nodes.alive, known=known) if known else {}
        if not self._hosts:
            check_nodes_are_told(self._deployment, self._nodes.alive)
            self._hosts = match_hosts(self._deployment, self._nodes.alive)
        if self._is_closed.is_set():
            raise RuntimeFailure("closed while opening")

    def _leave_ray(self) -> None:
        ray, self._ray = self._ray, None
        if ray is not None:
            ray.shutdown()

    def _stop_watches(self) -> None:
        for watch in self._watches:
            watch.stop()

    def _look_at_nodes(self) -> frozenset[str]:
        nodes = living_nodes()
        # None at all: Ray itself is away, which says nothing about nodes.
        if nodes:
            self._hosts = present_hosts(self._deployment, nodes, known=self._hosts)
        return devices_on(self._hosts, self._deployment.cluster)

    def _shares(self, spec: WorkerSpec) -> list[Share]:
        indices = device_indices(spec.group, self._deployment.cluster)
        away = [host for host in indices if host not in self._hosts]
        if away:
            raise Infeasible(
                f"group {spec.group.id} needs {', '.join(away)}; Ray has no node for it at the moment",
                hint="start the node again (`ray start --address=...`), or plan without it",
            )
        return [Share(self._hosts[host], chosen) for host, chosen in indices.items()]

    def _known_shares(self, spec: WorkerSpec) -> list[Share] | None:
        """None of a group on devices that are not in the deployment, or not there."""
        try:
            return self._shares(spec)
        except (Infeasible, InvalidInput):
            return None

    def _listening(self, spec: WorkerSpec, leader: HostNode) -> WorkerSpec:
        """The spec with where to listen: a Unix socket on this machine, else TCP."""
        is_here = leader.address in self._nodes.here
        path = f"{self.socket_folder}/{secrets.token_hex(4)}.sock" if is_here else ""
        return dataclasses.replace(spec, socket_path=path, host=leader.address)
