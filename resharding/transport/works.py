"""Transfers under way: what threads of one channel tell each other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar, final

from resharding.transport.errors import TransferFailed


class Memory(Protocol):
    """Of a transfer, wherever it lies."""

    @property
    def num_bytes(self) -> int: ...


M = TypeVar("M", bound=Memory)


@final
class Pulse:
    """What the threads of a channel wait for, under one lock; and when bytes last moved, here or at a peer.

    changed: anything. ended: a transfer, well or not; who waits for the whole does not wake for every chunk.
    """

    def __init__(self) -> None:
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self.ended = threading.Condition(lock)
        self.last_s = time.monotonic()

    def beat(self) -> None:
        with self.changed:
            self.last_s = time.monotonic()
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.changed.notify_all()
            self.ended.notify_all()


@final
class Transfer(Generic[M]):
    """One transfer: how many of its bytes have arrived, and how it ended.

    A transfer that is passed on is done when that is done. give_up: ends the channel because nothing moved;
    on_end: called when it is done, holding the pulse's lock.
    """

    def __init__(
        self,
        *,
        tag: int,
        peer: int,
        spans: M,
        pulse: Pulse,
        timeout_s: float,
        give_up: Callable[[Transfer[M]], None],
        on_end: Callable[[Transfer[M]], None],
        upstream: tuple[Transfer[M], ...] = (),
        is_sent: bool = False,
        is_passed_on: bool = False,
    ) -> None:
        self.tag = tag
        self.peer = peer
        self.spans = spans
        self.upstream = upstream
        self.is_sent = is_sent
        self.is_passed_on = is_passed_on
        self.done_bytes = 0
        # Of each chunk that arrived, by its first byte and the one after its last: it is passed on as it is.
        self.checksums: dict[tuple[int, int], int] = {}
        # A relay tells who sent to it how those after it are doing.
        self.on_alive: Callable[[], None] = _nothing
        self.on_done: Callable[[], None] = _nothing
        self._pulse = pulse
        self._timeout_s = timeout_s
        self._give_up = give_up
        self._on_end = on_end
        self._has_begun = False
        self._is_finished = False
        self._is_held = False
        self._error: TransferFailed | None = None

    @property
    def is_done(self) -> bool:
        return self._is_finished

    def wait(self) -> None:
        self._wait_until(self._pulse.ended, lambda: self._is_finished)

    def wait_for(self, num_bytes: int) -> None:
        """Until so many of its first bytes are here."""
        self._wait_until(self._pulse.changed, lambda: self._has_begun and self.done_bytes >= num_bytes)

    def advance(self, done_bytes: int, *, is_done: bool = False) -> None:
        with self._pulse.changed:
            self.done_bytes = done_bytes
            self._has_begun = True
            self._pulse.beat()
            if is_done and not self._is_finished:
                self._is_finished = True
                self._on_end(self)
                self._pulse.end()

    def culprit(self) -> Transfer[M]:
        """Where it hangs: here, or in what must arrive before."""
        late = (one for one in self.upstream if not one.is_done and one.done_bytes <= self.done_bytes)
        found = next(late, None)
        return self if found is None else found.culprit()

    @contextlib.contextmanager
    def filling(self) -> Iterator[bool]:
        """Around the use of its memory; False where it has failed and that is somebody else's again."""
        is_wanted = self.hold()
        try:
            yield is_wanted
        finally:
            self.let_go()

    def hold(self) -> bool:
        """Until `let_go` whoever waits is not told that it has failed; False if it has."""
        with self._pulse.changed:
            self._is_held = self._error is None
            return self._is_held

    def let_go(self) -> None:
        with self._pulse.changed:
            self._is_held = False
            self._pulse.ended.notify_all()

    def fail(self, error: TransferFailed) -> None:
        with self._pulse.changed:
            self._error = error
            self._pulse.end()

    def _wait_until(self, condition: threading.Condition, is_reached: Callable[[], bool]) -> None:
        pulse = self._pulse
        with condition:
            since_s = time.monotonic()
            while not is_reached():
                if self._error is not None:
                    # Until nobody uses its memory: soon, as what moves it is shut. A device may be stuck.
                    pulse.ended.wait_for(lambda: not self._is_held, self._timeout_s)
                    raise self._error.again()
                left_s = max(since_s, pulse.last_s) + self._timeout_s - time.monotonic()
                if left_s > 0:
                    condition.wait(left_s)
                else:
                    self._give_up(self)


def _nothing() -> None:
    return None
