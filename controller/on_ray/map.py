"""One pure function on many inputs, on a Ray cluster: `statmux capacity --address` runs its points here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, final

from controller.on_ray.connection import join
from vocabulary.errors import RuntimeFailure, StatmuxError


@final
class RayMap:
    """Calls `function(shared, item)` on any node; `shared` is sent to each node once.

    The function must be importable there. One at a time in a process, since Ray is joined until `close`.
    Raises Unreachable when no cluster answers, RuntimeFailure when it has no CPUs to compute with.
    """

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        shared: object,
        *,
        address: str,
        cpus_per_call: float = 1.0,
        timeout_s: float = 30.0,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="statmux-"))
        try:
            join(address, empty_folder=self._folder, timeout_s=timeout_s)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        import ray

        num_cpus = ray.cluster_resources().get("CPU", 0.0)
        if num_cpus < cpus_per_call:
            self.close()
            raise RuntimeFailure(
                f"the Ray cluster at {address} has {num_cpus:g} CPUs, a call needs {cpus_per_call:g}",
                hint="start its nodes with --num-cpus, or use the cores of this machine: leave out --address",
            )
        self._function = ray.put(function)
        self._shared = ray.put(shared)
        self._call = ray.remote(num_cpus=cpus_per_call)(_call)

    def submit(self, item: object) -> Future[Any]:
        """A promise of the value. A StatmuxError rises as it was raised there, all else as RuntimeFailure."""
        promise: Future[Any] = Future()
        answer = self._call.remote(self._function, self._shared, item).future()
        answer.add_done_callback(lambda done: _keep(promise, done))
        return promise

    def close(self) -> None:
        """Leave Ray; calls in progress are given up."""
        import ray

        ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


def _call(function: Callable[[Any, Any], Any], shared: object, item: object) -> Any:
    return function(shared, item)


def _keep(promise: Future[Any], done: Future[Any]) -> None:
    error = done.exception()
    if error is None:
        promise.set_result(done.result())
        return
    cause = getattr(error, "cause", None) or error
    if not isinstance(cause, StatmuxError):
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = RuntimeFailure(
            f"a call on the Ray cluster failed: {lines[-1] if lines else repr(error)}",
            hint="every node needs the same statmux, Python and Ray",
        )
    promise.set_exception(cause)
