"""Clients that ask one thing after another, and write down what became of each request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from statmux.client import Client, ClientError
from statmux.client.errors import DeadlineExceeded
from statmux.client.operations import InferResult
from tests.live.fleet_process import ServedFleet

X = np.arange(6, dtype=np.int32)
# Nobody may have to wait so long: whoever does has got no answer.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One request's one answer. reason: empty for a result."""

    model: str
    sent_s: float
    heard_s: float
    reason: str
    is_right: bool


class Crowd:
    """A thread a client. `heard`: every answer so far, in the order in which they came."""

    def __init__(self, address: str, models: Sequence[str]) -> None:
        self.heard: list[Heard] = []
        self._is_over = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(address, model)) for model in models]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when everyone has had the last answer."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def until_served(self, model: str, *, after_s: float) -> float:
        """When the first request of the model that was sent after `after_s` had its result."""

        def first() -> Heard | None:
            return next(
                (one for one in self.heard if one.model == model and one.sent_s > after_s and not one.reason),
                None,
            )

        with self._changed:
            assert self._changed.wait_for(first, timeout=60.0), self.reasons()
            return first().heard_s

    def reasons(self) -> Counter[str]:
        """How often each was heard; "" is a result."""
        return Counter(one.reason for one in self.heard)

    def check(self, *, may_be: Sequence[str] = ()) -> None:
        """Everyone was answered, with the right result or one of these reasons, and nobody waited in vain."""
        assert all(one.is_right for one in self.heard)
        others = self.reasons().keys() - {"", *may_be}
        assert not others, self.reasons()

    def _ask(self, address: str, model: str) -> None:
        with Client(address) as client:
            while not self._is_over.is_set():
                one = _heard(client, model)
                with self._changed:
                    self.heard.append(one)
                    self._changed.notify_all()


def _heard(client: Client, model: str) -> Heard:
    sent_s = time.monotonic()
    reason, is_right = "", True
    try:
        outputs = client.infer(model, {"INPUT0": X}, timeout_s=PATIENCE_S).outputs
        is_right = np.array_equal(outputs["OUTPUT0"], X)
    except DeadlineExceeded:
        reason = "no answer"
    except ClientError as error:
        reason = error.reason
    return Heard(model, sent_s, time.monotonic(), reason, is_right)


@contextmanager
def crowd(address: str, *models: str) -> Iterator[Crowd]:
    """As long as the block runs."""
    one = Crowd(address, models)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def in_flight(
    fleet: ServedFleet, client: Client, pool: ThreadPoolExecutor, model: str, *, count: int
) -> list[Future[InferResult]]:
    """Requests that the fleet has accepted and not answered."""
    before = fleet.ask("status")["num_pending"]
    calls = [pool.submit(client.infer, model, {"INPUT0": X}, timeout_s=None) for _ in range(count)]
    fleet.until(lambda: fleet.ask("status")["num_pending"] == before + count)
    return calls
