"""A fleet's Ray: started here or joined, its nodes matched to hosts, its groups started, all stopped."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, final

from controller.ray_connection import Nodes, agree_on_token, join
from controller.ray_hosts import device_indices, local_devices, match_hosts
from controller.ray_local import LocalRay
from controller.ray_nouns import HostNode, Limits, Lost, Progress, Share, StartedGroup
from controller.weight_sources import WeightSources
from vocabulary.deployment import Deployment
from vocabulary.errors import RuntimeFailure
from workers.spec import WorkerSpec

if TYPE_CHECKING:
    from controller.ray_groups import RayGroups

# Socket paths are limited to 108 bytes and Ray adds about 70: TMPDIR is often too long.
_ROOT = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()


@final
class RayCluster:
    """One fleet's Ray. `open`, then `start_groups`, then `watch`; `close` at any time, from any thread.

    Calls block. After `close`, and when `open` raises, nothing of the fleet runs; when this process is
    killed, a local Ray stops by itself. One at a time in a process.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        progress: Progress,
        limits: Limits | None = None,
        root: str = _ROOT,
        open_timeout_s: float = 90.0,
    ) -> None:
        self._deployment = deployment
        self._progress = progress
        self._limits = limits or Limits()
        self._root = root
        self._open_timeout_s = open_timeout_s
        self._cleanup = ExitStack()
        self._numbers = count()
        self._closing = threading.Lock()
        self._is_closed = threading.Event()
        self._folder = Path()
        self._nodes = Nodes((), frozenset())
        self._hosts: Mapping[str, HostNode] = {}
        self._local: LocalRay | None = None
        self._groups: RayGroups | None = None
        self.address = ""

    @property
    def socket_folder(self) -> str:
        """A private folder for Unix sockets, gone after `close`."""
        return str(self._folder)

    def open(self) -> None:
        """Start or join Ray, as `cluster.address` of the deployment says.

        Raises RuntimeFailure when it does not start, Unreachable when none answers at the address, Infeasible
        when its nodes do not offer the deployment's hosts.
        """
        try:
            self._open()
        except BaseException as error:
            was_closed = self._is_closed.is_set()
            self.close()
            if was_closed and isinstance(error, Exception):
                raise RuntimeFailure("the fleet was stopped while Ray was starting") from error
            raise

    def start_groups(self, specs: Sequence[WorkerSpec]) -> tuple[StartedGroup, ...]:
        """All groups at once, in the order of `specs`; where each listens is decided here.

        Raises what a worker raised, Infeasible when devices are taken, RuntimeFailure when a worker dies or
        is late; the groups of this call are stopped then.
        """
        from controller.ray_group import RayGroup

        assert self._groups is not None, "open the cluster first"
        placed = [(spec, self._shares(spec)) for spec in specs]
        return self._groups.start(
            [RayGroup(self._listening(spec, shares[0].node), shares) for spec, shares in placed]
        )

    def watch(self, lost: Lost) -> None:
        """Call `lost(group_id, why)`, on another thread, once for each group that dies before `close`."""
        assert self._groups is not None, "open the cluster first"
        self._groups.watch(lost)

    def stop_groups(self, group_ids: Collection[str]) -> None:
        """Stop these and give their devices back; their ends are not told as losses."""
        assert self._groups is not None, "open the cluster first"
        self._groups.stop(group_ids)

    def close(self) -> None:
        """Stop the groups, leave Ray, stop it if it is ours. May be called again, or while others wait."""
        self._is_closed.set()
        with self._closing:
            self._cleanup.close()

    def _open(self) -> None:
        self._folder = self._make_folder()
        self._cleanup.callback(shutil.rmtree, self._folder, ignore_errors=True)
        empty = self._folder / "empty"
        empty.mkdir()
        is_local = self._deployment.ray_address == "local"
        self.address = self._start_local() if is_local else self._deployment.ray_address
        self._progress(f"joining Ray at {self.address}")
        self._nodes = join(self.address, empty_folder=empty, timeout_s=self._open_timeout_s)
        # Only now, when the token is agreed on and the nodes are coming up, is there time to import ray.
        ray = importlib.import_module("ray")
        groups = importlib.import_module("controller.ray_groups")
        self._groups = groups.RayGroups(
            progress=self._progress,
            limits=self._limits,
            weights=WeightSources(self._deployment.cluster),
        )
        self._cleanup.callback(self._leave, ray)
        self._hosts = match_hosts(self._deployment, self._nodes.alive)
        if self._is_closed.is_set():
            raise RuntimeFailure("closed while opening")

    def _leave(self, ray: ModuleType) -> None:
        """Without a farewell to a Ray that is dead: calls would wait for it, and end this process."""
        if self._groups is not None and (self._local is None or self._local.is_alive()):
            self._groups.stop_all()
        ray.shutdown()

    def _make_folder(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix="statmux-", dir=self._root))
        except OSError as error:
            raise RuntimeFailure(
                f"cannot make a folder for Ray's sockets and logs in {self._root}: {error.strerror}",
                hint="make it writable, and leave some megabytes of disk",
            ) from error

    def _start_local(self) -> str:
        devices = local_devices(self._deployment)
        self._progress(f"starting Ray: {len(devices)} nodes with {sum(devices.values())} devices")
        agree_on_token()
        self._local = local = LocalRay(devices, folder=self._folder)
        self._cleanup.callback(local.stop)
        local.launch()
        importlib.import_module("ray")  # a second that the first node needs anyway
        return local.wait(timeout_s=self._open_timeout_s, progress=self._progress)

    def _shares(self, spec: WorkerSpec) -> list[Share]:
        indices = device_indices(spec.group, self._deployment.cluster)
        return [Share(self._hosts[host], chosen) for host, chosen in indices.items()]

    def _listening(self, spec: WorkerSpec, leader: HostNode) -> WorkerSpec:
        """The spec with where to listen: a Unix socket on this machine, else TCP."""
        is_here = leader.address in self._nodes.here
        path = f"{self._folder}/{next(self._numbers)}.sock" if is_here else ""
        return dataclasses.replace(spec, socket_path=path, host=leader.address)
