"""Groups whose workers are threads of this process: real engines, real sockets, no Ray."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import final

from controller.on_ray.nouns import Lost, StartedGroup
from vocabulary.errors import RuntimeFailure
from workers.host import WorkerHost
from workers.spec import Address, WorkerSpec


@final
class ThreadCluster:
    """`calls`: what was asked for, in order. failing: ids of groups that do not start, and take no model, for
    now. liars: what the workers of groups say instead of a greeting, before they hang up, the first time that
    these start.
    """

    def __init__(self, folder: Path) -> None:
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self.liars: dict[str, bytes] = {}
        self.hosts: dict[str, WorkerHost] = {}
        self._folder = folder
        self._numbers = count()
        self._lock = threading.Lock()

    def crash(self, group_id: str) -> None:
        """Its worker ends without a word to anyone."""
        self._end(group_id)

    def start_groups(self, specs: Sequence[WorkerSpec]) -> tuple[StartedGroup, ...]:
        ids = [spec.group.id for spec in specs]
        self.calls.append(f"start {' '.join(ids)}")
        bad = self.failing.intersection(ids)
        if bad:
            raise RuntimeFailure(f"group {min(bad)} does not start today")
        return tuple(self._start(spec) for spec in specs)

    def stop_groups(self, group_ids: Collection[str]) -> None:
        for group_id in group_ids:
            self.calls.append(f"stop {group_id}")
            self._end(group_id)

    def kill_group(self, group_id: str) -> None:
        self.calls.append(f"kill {group_id}")
        self._end(group_id)

    def change_group(
        self, spec: WorkerSpec, *, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> StartedGroup:
        signs = [*(f"+{model}" for model in add), *(f"-{model}" for model in remove)]
        self.calls.append(f"change {spec.group.id} {' '.join(signs)}")
        if add and spec.group.id in self.failing:
            raise RuntimeFailure(f"group {spec.group.id} takes no model today")
        host = self.hosts[spec.group.id]
        if remove:
            host.remove(remove)
        if add:
            host.read_more(spec)
            host.add(spec)
        return _started(spec, host, host.address)

    def watch(self, lost: Lost) -> None:
        """A thread that ends takes its socket along, and that is told by the link."""

    def watch_nodes(self, changed: Callable[[frozenset[str]], None]) -> None:
        """They stay."""

    def memory(self) -> Mapping[str, object]:
        return {"groups": sorted(self.hosts)}

    def close(self) -> None:
        for group_id in tuple(self.hosts):
            self._end(group_id)

    def _start(self, spec: WorkerSpec) -> StartedGroup:
        spec = replace(spec, socket_path=f"{self._folder}/{next(self._numbers)}.sock")
        host = WorkerHost(spec)
        address = host.start()
        self.hosts[spec.group.id] = host
        lie = self.liars.pop(spec.group.id, None)
        if lie is not None:
            address = _liar(f"{self._folder}/{next(self._numbers)}.sock", lie)
        return _started(spec, host, address)

    def _end(self, group_id: str) -> None:
        with self._lock:
            host = self.hosts.pop(group_id, None)
        if host is not None:
            host.stop()


def _started(spec: WorkerSpec, host: WorkerHost, address: Address) -> StartedGroup:
    return StartedGroup(spec.group.id, "n-0", "node", 1, address, host.interfaces(), spec.group, host.loads())


def _liar(path: str, lie: bytes) -> Address:
    """Who connects there hears `lie`, and nothing more."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def answer() -> None:
        with listener, listener.accept()[0] as caller:
            caller.recv(4096)
            caller.sendall(lie)

    threading.Thread(target=answer, daemon=True).start()
    return Address(socket_path=path)
