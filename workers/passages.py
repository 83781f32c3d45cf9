"""From stage to stage: a thread computes each, and what it made goes on while it computes the next batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, final

# Of a passage: one that is being used, one that is on its way.
NUM_BUFFERS = 2
J = TypeVar("J")


def _never(job: object) -> bool:
    return False


def raise_it(error: Exception) -> None:
    """Where nobody hears of an error of ours, the thread's end says so."""
    raise error


@final
class Passage(Generic[J]):
    """Takes batches onward in their order, each as soon as it is given; at most NUM_BUFFERS are not used up.

    carry: brings a batch to where it is used, on a thread of the passage, or on the giver's if `is_instant`
    says that it takes no time. failed: hears of a batch that could not be carried; died: of an error of ours,
    after which nothing is carried any more.
    """

    def __init__(
        self,
        carry: Callable[[J], None],
        *,
        failed: Callable[[J, Exception], None],
        name: str,
        is_instant: Callable[[J], bool] = _never,
        died: Callable[[Exception], None] = raise_it,
    ) -> None:
        self._died = died
        self._carry = carry
        self._failed = failed
        self._is_instant = is_instant
        self._slots = threading.Semaphore(NUM_BUFFERS)
        self._queue: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._num_queued = 0
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def give(self, job: J) -> None:
        """Returns as soon as there is a buffer for the batch, which is on its way then."""
        self._slots.acquire()
        if self._is_closed:
            return
        with self._lock:
            is_first = self._num_queued == 0
            self._num_queued += 1
        if is_first and self._is_instant(job):
            self._carry_one(job)
        else:
            self._queue.put(job)
            with self._lock:
                _start(self._thread)

    def free(self) -> None:
        """The oldest batch has been used up: its buffer can be filled again."""
        self._slots.release()

    def close(self) -> None:
        """What has not been carried is dropped; who waits to give is let go. From any thread."""
        self._is_closed = True
        self._queue.put(None)
        self._slots.release(2 * NUM_BUFFERS)

    def join(self, timeout_s: float) -> None:
        _join(self._thread, timeout_s)

    def _serve(self) -> None:
        _serve_on(self._serve_one, died=self._died)

    def _serve_one(self) -> bool:
        """Its batch is forgotten, and so are its model's weights, before the next is waited for."""
        job = self._queue.get()
        if job is None or self._is_closed:
            return False
        self._carry_one(job)
        return True

    def _carry_one(self, job: J) -> None:
        try:
            self._carry(job)
        except Exception as error:
            self.free()
            self._failed(job, error)
        finally:
            with self._lock:
                self._num_queued -= 1


@final
class StageThread(Generic[J]):
    """Computes one batch after another.

    compute: blocks until it is done. onward: takes what was made; blocks while what follows is full. freed:
    called when the next batch can be computed. failed: hears of a batch that could not be computed; died: of
    an error of ours, after which nothing is computed any more.
    """

    def __init__(
        self,
        compute: Callable[[J], J],
        *,
        onward: Callable[[J], None],
        freed: Callable[[J], None],
        failed: Callable[[J, Exception], None],
        name: str,
        died: Callable[[Exception], None] = raise_it,
    ) -> None:
        self._died = died
        self._compute = compute
        self._onward = onward
        self._freed = freed
        self._failed = failed
        self._queue: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def enter(self, job: J) -> None:
        """Returns at once. From one thread."""
        self._queue.put(job)
        _start(self._thread)

    def close(self) -> None:
        """The batch that is being computed is the last."""
        self._is_closed = True
        self._queue.put(None)

    def join(self, timeout_s: float) -> None:
        _join(self._thread, timeout_s)

    def _serve(self) -> None:
        _serve_on(self._serve_one, died=self._died)

    def _serve_one(self) -> bool:
        """Its batch is forgotten, and so are its model's weights, before the next is waited for."""
        job = self._queue.get()
        if job is None or self._is_closed:
            return False
        try:
            self._onward(self._compute(job))
        except Exception as error:
            self._failed(job, error)
        finally:
            self._freed(job)
        return True


def _serve_on(serve_one: Callable[[], bool], *, died: Callable[[Exception], None]) -> None:
    """Until it says that there is no more."""
    try:
        while serve_one():
            pass
    except Exception as error:
        died(error)


def _start(thread: threading.Thread) -> None:
    if thread.ident is None:
        thread.start()


def _join(thread: threading.Thread, timeout_s: float) -> None:
    if thread.ident is not None and thread is not threading.current_thread():
        thread.join(timeout_s)
