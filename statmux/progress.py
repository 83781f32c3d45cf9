"""Progress on stderr: what is being done, how far, how long so far. A line in place on a terminal, else one
line every ten seconds."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self, TextIO, final

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FRAMES = 0.2
# How long something that failed must have gone on for people to want to know it: its error says the rest.
SECONDS_WORTH_TELLING = 1.0


@final
class Progress:
    """Use as a context manager. `step` may be called as often as wanted; a thread does the printing."""

    def __init__(self, label: str, *, total: int | None, stream: TextIO, is_shown: bool) -> None:
        self._label = label
        self._total = total
        self._stream = stream
        self._is_shown = is_shown
        self._is_terminal = is_shown and stream.isatty()
        self._num_done = 0
        self._note = ""
        self._started_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print_until_ended, daemon=True)

    def step(self, num_done: int | None = None, *, note: str = "", label: str | None = None) -> None:
        """Says how many of `total` are done, and anything else worth knowing now."""
        self._num_done = self._num_done + 1 if num_done is None else num_done
        self._note = note or self._note
        self._label = label or self._label

    def __enter__(self) -> Self:
        self._started_s = time.monotonic()
        if self._is_shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._is_shown:
            self._thread.join()
            self._finish(has_failed=kind is not None)

    def text(self) -> str:
        """The line as it stands."""
        elapsed_s = time.monotonic() - self._started_s
        share = f" {self._num_done}/{self._total}" if self._total is not None else ""
        note = f", {self._note}" if self._note else ""
        return f"{self._label}{share} ({elapsed_s:.0f} s{note})"

    def _print_until_ended(self) -> None:
        wait_s = SECONDS_BETWEEN_FRAMES if self._is_terminal else SECONDS_BETWEEN_LINES
        while not self._ended.wait(wait_s):
            if self._is_terminal:
                self._stream.write(f"\r\x1b[K{self.text()}")
            else:
                self._stream.write(f"{self.text()}\n")
            self._stream.flush()

    def _finish(self, *, has_failed: bool) -> None:
        elapsed_s = time.monotonic() - self._started_s
        clear = "\r\x1b[K" if self._is_terminal else ""
        if has_failed and elapsed_s < SECONDS_WORTH_TELLING:
            self._stream.write(clear)
            return
        end = "stopped after" if has_failed else "done in"
        self._stream.write(f"{clear}{self._label}: {end} {elapsed_s:.1f} s\n")
        self._stream.flush()
