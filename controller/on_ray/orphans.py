"""Ends what a controller that was killed has left: `statmux stop` where no controller answers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.keys import FleetKeys
from controller.on_ray.connection import agree_on_token, join
from controller.on_ray.keeper import kill_session, session_processes
from controller.on_ray.kept import KeptRay
from controller.on_ray.leftovers import is_our_folder
from controller.on_ray.memory import RayMemory, read_memory
from vocabulary.errors import RuntimeFailure


def end_orphans(memory: Mapping[str, Any] | None, keys: FleetKeys, *, timeout_s: float = 20.0) -> str:
    """What was ended, in words; empty where nothing was left. memory: as `RayCluster.memory` told it last.

    A Ray of the fleet's own is ended; on another, its actors and reservations are. Raises RuntimeFailure with
    the processes that would not end, Unreachable when the Ray that was joined does not answer.
    """
    known = read_memory(memory)
    if known is None:
        return ""
    ended = _end_local(known, timeout_s) if known.is_local else _end_joined(known, keys, timeout_s)
    folder = Path(known.folder)
    if is_our_folder(folder):
        shutil.rmtree(folder, ignore_errors=True)
        ended = ended or f"the folder {folder}"
    return ended


def _end_local(known: RayMemory, timeout_s: float) -> str:
    before = _processes(known)
    KeptRay(folder=Path(known.folder), pid=known.keeper_pid).stop()
    if _processes(known):
        kill_session(known.keeper_pid, timeout_s=timeout_s)
    left = _processes(known)
    if left:
        raise RuntimeFailure(
            f"these processes of the fleet's Ray do not end: {', '.join(map(str, left))}",
            hint="they wait for a disk or a device; they end when that answers, or with the machine",
        )
    return f"the Ray of the fleet, {len(before)} processes" if before else ""


def _processes(known: RayMemory) -> list[int]:
    """Those of the keeper's session, if that is still what goes by its number."""
    folder = known.folder.encode()
    found = []
    for pid in session_processes(known.keeper_pid):
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if folder in words:
            found.append(pid)
    return found


def _end_joined(known: RayMemory, keys: FleetKeys, timeout_s: float) -> str:
    agree_on_token()
    with tempfile.TemporaryDirectory(prefix="statmux-") as empty:
        join(known.address, empty_folder=Path(empty), timeout_s=timeout_s, namespace=known.namespace)
    import ray

    from controller.on_ray.adoption import end_namespace

    try:
        num_actors = end_namespace()
    finally:
        ray.shutdown()
    return f"{num_actors} actors on the Ray at {known.address}" if num_actors else ""
