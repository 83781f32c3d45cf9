"""Work that would keep the event loop from its requests: in a process of its own, with low priority."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from vocabulary.errors import RuntimeFailure, StatmuxError, TimedOut

Result = TypeVar("Result")
# Requests come first, three to one where both want a processor. At 15, a search on a machine that is full of
# requests got 3 % of one, and was a minute late before it had begun.
NICENESS = 5
_CONTEXT = multiprocessing.get_context("spawn")


async def in_own_process(
    function: Callable[..., Result], *args: object, timeout_s: float, what: str, **words: object
) -> Result:
    """What the function returns, or the StatmuxError that it raises.

    It, its arguments and its result must be what multiprocessing can send. Raises TimedOut, and
    RuntimeFailure where the process ended without an answer. The process ends with this one, and when the
    caller is cancelled.
    """
    mine, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(
        target=_work, args=(theirs, function, args, words), daemon=True, name=f"statmux-{what}"
    )
    try:
        await asyncio.to_thread(_start, process, what)
        theirs.close()
        is_there = await _readable(mine, timeout_s)
        if not is_there:
            hint = "give it more time, or ask for less: placement.search.time_budget_s"
            raise TimedOut(f"{what} took longer than {timeout_s:g} s", hint=hint)
        return _answer(mine, what)
    finally:
        mine.close()
        theirs.close()
        await asyncio.shield(asyncio.to_thread(_end, process))


async def _readable(connection: Connection, timeout_s: float) -> bool:
    """Whether something came, or the other end closed, in time."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), ready.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ready.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(connection.fileno())
    return True


def _answer(connection: Connection, what: str) -> object:
    try:
        result = connection.recv()
    except EOFError:
        raise RuntimeFailure(
            f"the process for {what} ended without an answer", hint="is memory short?"
        ) from None
    if isinstance(result, StatmuxError):
        raise result
    return result


def _start(process: multiprocessing.process.BaseProcess, what: str) -> None:
    try:
        process.start()
    except OSError as error:
        raise RuntimeFailure(
            f"the process for {what} does not start: {error.strerror or error}",
            hint="are memory, processes or open files short?",
        ) from error


def _end(process: multiprocessing.process.BaseProcess) -> None:
    if process.pid is not None:
        process.kill()
        process.join()
    process.close()


def _work(answers: Connection, function: Callable[..., object], args: tuple, words: dict) -> None:
    """The process."""
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        result = function(*args, **words)
    except StatmuxError as error:
        result = error
    answers.send(result)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
