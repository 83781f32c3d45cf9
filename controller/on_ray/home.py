"""Where a fleet's Ray is: started on this machine, found again after a controller died, or joined."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from pathlib import Path
from typing import final

from controller.keys import FleetKeys
from controller.on_ray.connection import Nodes, agree_on_token, join
from controller.on_ray.hosts import local_devices
from controller.on_ray.kept import KeptRay
from controller.on_ray.leftovers import FOLDER_PREFIX, is_our_folder, remove_dead_folders
from controller.on_ray.local import LocalRay
from controller.on_ray.memory import RayMemory
from controller.on_ray.nouns import Progress
from vocabulary.deployment import Deployment
from vocabulary.errors import RuntimeFailure, Unreachable


@final
class RayHome:
    """`open`, then `leave` or `close`. folder: private, for Unix sockets; gone after `close`."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        keys: FleetKeys | None,
        namespace: str,
        progress: Progress,
        root: str,
        timeout_s: float,
    ) -> None:
        self._deployment = deployment
        self._keys = keys
        self._namespace = namespace
        self._progress = progress
        self._root = root
        self._timeout_s = timeout_s
        self._ray: LocalRay | KeptRay | None = None
        self.folder = Path()
        self.address = ""
        self.is_found = False

    @property
    def keeper_pid(self) -> int:
        """0 where Ray is not ours."""
        return self._ray.pid if self._ray is not None else 0

    @property
    def devices(self) -> dict[str, int]:
        """Of the hosts that this machine plays."""
        return dict(local_devices(self._deployment)) if self._is_local else {}

    def open(self, memory: RayMemory | None) -> Nodes:
        """Start or join Ray, the remembered one if it lives: then `is_found`.

        Raises as RayCluster.open does; call `close` then.
        """
        if memory is not None and self._find(memory):
            try:
                nodes = self._join()
            except Unreachable as error:
                self._progress(f"the Ray of before does not answer: {error.message}")
                self._end_ray()
            else:
                self.is_found = True
                return nodes
        self.folder = self._make_folder()
        self.address = self._start() if self._is_local else self._deployment.ray_address
        return self._join()

    def is_alive(self) -> bool:
        """Whether calls to Ray may be answered, as far as this process can tell."""
        return self._ray is None or self._ray.is_alive()

    def stay(self) -> None:
        """Ray is worth waiting for another controller, should this one die."""
        if self._ray is not None:
            self._ray.stay()

    def leave(self) -> None:
        """The folder stays, a Ray of ours waits for another controller; `close` does nothing afterwards."""
        ray, self._ray = self._ray, None
        self.folder = Path()
        if ray is not None:
            ray.leave()

    def close(self) -> None:
        """Ray is ended if it is ours. May be called again."""
        self._end_ray()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _is_local(self) -> bool:
        return self._deployment.ray_address == "local"

    def _end_ray(self) -> None:
        ray, self._ray = self._ray, None
        if ray is not None:
            ray.stop()

    def _find(self, memory: RayMemory) -> bool:
        """Whether the Ray of before is the one that is wanted, and may be there."""
        folder = Path(memory.folder)
        if memory.is_local:
            return self._find_local(memory, folder)
        is_same = not self._is_local and memory.address == self._deployment.ray_address
        if is_same and memory.namespace == self._namespace:
            self.address = memory.address
            self.folder = folder if is_our_folder(folder) else self._make_folder()
            return True
        if is_our_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)
        return False

    def _find_local(self, memory: RayMemory, folder: Path) -> bool:
        kept = KeptRay(folder=folder, pid=memory.keeper_pid)
        if not kept.hold():
            return False
        self._ray = kept
        if not self._is_local or memory.devices != self.devices or memory.namespace != self._namespace:
            self._progress("ending the Ray of before: it has other hosts")
            self._end_ray()
            return False
        self._progress("found the Ray of before")
        self._agree_on_token()
        self.address, self.folder = memory.address, folder
        return True

    def _join(self) -> Nodes:
        self._progress(f"joining Ray at {self.address}")
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        nodes = join(self.address, empty_folder=empty, timeout_s=self._timeout_s, namespace=self._namespace)
        # Ray has sent it on. Who unlinks the last socket of an orphaned fleet can remove the folder.
        empty.rmdir()
        return nodes

    def _make_folder(self) -> Path:
        remove_dead_folders(Path(self._root))
        try:
            return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=self._root))
        except OSError as error:
            raise RuntimeFailure(
                f"cannot make a folder for Ray's sockets and logs in {self._root}: {error.strerror}",
                hint="make it writable, and leave some megabytes of disk",
            ) from error

    def _start(self) -> str:
        devices = local_devices(self._deployment)
        self._progress(f"starting Ray: {len(devices)} nodes with {sum(devices.values())} devices")
        self._agree_on_token()
        self._ray = local = LocalRay(
            devices, folder=self.folder, grace_s=self._deployment.health.orphan_grace_s
        )
        local.launch()
        importlib.import_module("ray")  # a second that the first node needs anyway
        return local.wait(timeout_s=self._timeout_s, progress=self._progress)

    def _agree_on_token(self) -> None:
        agree_on_token(self._keys.ray_token if self._keys is not None else "")
