"""Joining a Ray cluster as one job: quick refusals, the shared token, a neutral working directory."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from controller.on_ray.nouns import RayNode
from vocabulary.errors import RuntimeFailure, Unreachable

_log = structlog.get_logger("statmux.controller")


@dataclass(frozen=True, slots=True)
class Nodes:
    """The living nodes; `here` are the IP addresses that are this very machine."""

    alive: tuple[RayNode, ...]
    here: frozenset[str]


def agree_on_token(token: str = "") -> None:
    """A secret for a local cluster, in the environment: Ray listens on every interface of the machine.

    Without `token` a new one, unless the environment has one already. Nothing happens where the user has
    turned Ray's authentication off (RAY_AUTH_MODE).
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or ("RAY_AUTH_MODE" in os.environ and not token):
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = token or secrets.token_hex(32)
    if "ray" in sys.modules:
        # Ray read the environment when it was imported.
        from ray._raylet import AuthenticationTokenLoader, Config

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def join(address: str, *, empty_folder: Path, timeout_s: float, namespace: str | None = None) -> Nodes:
    """Connect this process until `ray.shutdown`. Raises Unreachable with Ray's reason, within the time.

    namespace: where actors and placement groups with names are kept and found.
    """
    import ray

    if ray.is_initialized():
        raise RuntimeFailure(
            "this process is connected to a Ray cluster already", hint="close that one first"
        )
    _knock(address)
    failures: list[BaseException] = []
    # On a thread: ray.init would take SIGTERM from the main one, and can wait for minutes.
    joining = threading.Thread(target=_init, args=(address, empty_folder, namespace, failures), daemon=True)
    joining.start()
    joining.join(timeout_s)
    if failures or joining.is_alive():
        why = (
            str(failures[0]).strip() or repr(failures[0]) if failures else f"no answer within {timeout_s:g} s"
        )
        raise Unreachable(
            f"cannot join Ray at {address}: {why.splitlines()[0]}",
            hint="`ray status` should answer here, with the same Ray, Python and token as the cluster",
        )
    try:
        return _nodes(address)
    except BaseException:
        ray.shutdown()
        raise


def living_nodes() -> tuple[RayNode, ...]:
    """Those of the cluster that this process has joined; empty where Ray does not answer."""
    import ray

    try:
        listed = ray.nodes()
    except ray.exceptions.RayError:
        return ()
    return tuple(
        RayNode(node["NodeID"], node["NodeManagerAddress"], node["Resources"], node.get("Labels") or {})
        for node in listed
        if node["Alive"]
    )


def _knock(address: str, timeout_s: float = 5.0) -> None:
    """Raises Unreachable at once when nobody listens, where Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except OSError as error:
        raise Unreachable(
            f"no Ray cluster answers at {address} ({error.strerror or error})",
            hint="check `cluster.address`; `local` starts one on this machine",
        ) from error


def _init(address: str, empty_folder: Path, namespace: str | None, failures: list[BaseException]) -> None:
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            address=address,
            namespace=namespace,
            log_to_driver=False,
            configure_logging=False,
            # Without a folder of its own the job would import from wherever the user stands: a `workers/`
            # there would shadow ours.
            runtime_env={"working_dir": str(empty_folder)},
        )
        # Ray prints what befalls the cluster, with the ends of its logs, to standard output: that is for
        # documents. There is no setting for it.
        importlib.import_module("ray._private.worker").print_to_stdstream = _tell
    except BaseException as error:
        failures.append(error)


def _tell(told: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Ray's words, without the ends of logs, to ours."""
    first = str(told["lines"][0]).strip().partition("\n")[0]
    _log.warning("ray tells", words=first)


def _nodes(address: str) -> Nodes:
    import ray

    alive = living_nodes()
    # Through Ray Client this process is on no node of the cluster's.
    here = "" if "://" in address else ray.get_runtime_context().get_node_id()
    return Nodes(alive, frozenset(node.address for node in alive if node.id == here))
