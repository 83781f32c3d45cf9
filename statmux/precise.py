"""Runs a client that measures: its timers fire when they are due, so it is not late itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from workers.precise_timers import ask_for_precise_timers, precise_loop

Result = TypeVar("Result")


def run_precisely(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`, on a loop whose sleeps end within tens of microseconds."""
    ask_for_precise_timers()
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(coroutine)
