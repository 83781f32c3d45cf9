"""Timers that fire when they are due: Linux and asyncio round them up otherwise, by 50 us and by 1 ms."""

from __future__ import annotations

import asyncio
import ctypes
import selectors
import sys

_PR_SET_TIMERSLACK = 29
_SLACK_NS = 1


def precise_loop() -> asyncio.SelectorEventLoop:
    """select() waits in microseconds; epoll and uvloop round up to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def ask_for_precise_timers() -> None:
    """For the calling thread; does nothing where the kernel has no such setting."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0)
