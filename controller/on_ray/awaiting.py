"""Waiting for a Ray that others start, and for its nodes: hosts of a cluster come up in any order."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from controller.on_ray.connection import join, living_nodes
from controller.on_ray.hosts import present_hosts
from controller.on_ray.nouns import RayNode
from vocabulary.deployment import Deployment
from vocabulary.errors import TimedOut, Unreachable

_LOOK_S = 1.0


def await_hosts(deployment: Deployment, *, timeout_s: float, progress: Callable[[str], None]) -> None:
    """Return when the Ray at `cluster.address` has a node for every host. Nothing stays connected.

    Raises TimedOut with the hosts that are missing. A Ray of the fleet's own needs no waiting.
    """
    if deployment.ray_address == "local":
        return
    end_s = time.monotonic() + timeout_s
    with tempfile.TemporaryDirectory(prefix="statmux-") as empty:
        _await_ray(deployment, empty, end_s=end_s, timeout_s=timeout_s, progress=progress)
        try:
            _await_nodes(deployment, end_s=end_s, timeout_s=timeout_s, progress=progress)
        finally:
            importlib.import_module("ray").shutdown()


def missing_hosts(deployment: Deployment, nodes: Sequence[RayNode]) -> tuple[str, ...]:
    """Hosts of the deployment that none of these nodes can be."""
    found = present_hosts(deployment, nodes)
    names = (f"{node.name}-{index}" for node in deployment.cluster.nodes for index in range(node.count))
    return tuple(name for name in names if name not in found)


def _await_ray(
    deployment: Deployment,
    empty: str,
    *,
    end_s: float,
    timeout_s: float,
    progress: Callable[[str], None],
) -> None:
    progress(f"waiting for the Ray at {deployment.ray_address}")
    while True:
        left_s = end_s - time.monotonic()
        try:
            # All the time that is left: an attempt that hangs goes on, and the next one would meet it.
            join(deployment.ray_address, empty_folder=Path(empty), timeout_s=max(1.0, left_s))
        except Unreachable as error:
            if left_s <= _LOOK_S:
                words = f"no Ray at {deployment.ray_address} within {timeout_s:g} s: {error.message}"
                raise TimedOut(words, hint=error.hint) from None
            time.sleep(_LOOK_S)
        else:
            return


def _await_nodes(
    deployment: Deployment, *, end_s: float, timeout_s: float, progress: Callable[[str], None]
) -> None:
    told: tuple[str, ...] = ()
    while missing := missing_hosts(deployment, nodes := living_nodes()):
        if missing != told:
            progress(f"waiting for nodes of Ray's for {', '.join(missing)}")
            told = missing
        if time.monotonic() > end_s:
            raise TimedOut(
                f"Ray's {len(nodes)} living nodes have none for {', '.join(missing)} after {timeout_s:g} s",
                hint="see whether they started, and whether each offers the devices of cluster.nodes",
            )
        time.sleep(_LOOK_S)
