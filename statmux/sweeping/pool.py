"""Points on several processes of this machine. Each holds the study once and answers probes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Protocol, final

from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.results import Result

# A process of a pool evaluates one point at a time on one core: threads inside would fight over the cores.
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


class AbstractPool(Protocol):
    """Somewhere to evaluate points."""

    def submit(self, probe: Probe) -> Future[Result]: ...

    def close(self) -> None:
        """Ends at once; points in progress are given up."""
        ...


@final
class LocalPool:
    """Fresh processes, so numba and threads of this one do not matter; compiled code is shared on disk.

    They end when this process ends, however it ends, and leave Ctrl-C to it.
    """

    def __init__(self, study: Study, *, num_processes: int) -> None:
        self._executor = ProcessPoolExecutor(
            num_processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(study,),
        )

    def submit(self, probe: Probe) -> Future[Result]:
        with _environment(ONE_THREAD):  # the first probes start the processes
            return self._executor.submit(_answer, probe)

    def close(self) -> None:
        ours = tuple(self._executor._processes.values()) if self._executor._processes else ()
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in ours:
            process.terminate()
        for process in ours:
            process.join()


# Of a process of the pool: set once, when it begins.
_study: Study | None = None


def _begin(study: Study) -> None:
    global _study
    _study = study
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _answer(probe: Probe) -> Result:
    assert _study is not None
    return evaluate(_study, probe)


def _end_with_parent() -> None:
    """A parent that is killed closes no queue: without this its pool would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """For processes started meanwhile; what the user has set stands."""
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
