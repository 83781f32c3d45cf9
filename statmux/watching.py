"""The state of a fleet again and again: in place on a terminal, else one document after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from statmux.render import Console
from vocabulary.errors import TimedOut, Unreachable


def watch(
    console: Console,
    first: dict[str, Any],
    look: Callable[[], dict[str, Any]],
    text: Callable[[dict[str, Any]], str],
    *,
    is_gone: Callable[[], bool],
    every_s: float,
) -> None:
    """Until Ctrl-C, or until the fleet has ended: then it says so. A controller that died may come back."""
    documents = chain([first], _looks(console, look, is_gone, every_s=every_s))
    if console.is_table and sys.stdout.isatty():
        _live(documents, text)
    else:
        for document in documents:
            console.line(document, lambda shown=document: text(shown))
    console.say("the fleet has ended")


def _looks(
    console: Console, look: Callable[[], dict[str, Any]], is_gone: Callable[[], bool], *, every_s: float
) -> Iterator[dict[str, Any]]:
    is_silent = False
    while True:
        time.sleep(every_s)
        try:
            document = look()
        except (Unreachable, TimedOut) as error:
            if is_gone():
                return
            if not is_silent:
                console.warn(error.message)
            is_silent = True
            continue
        is_silent = False
        yield document


def _live(documents: Iterator[dict[str, Any]], text: Callable[[dict[str, Any]], str]) -> None:
    from rich.console import Console as Terminal
    from rich.live import Live
    from rich.text import Text

    with Live(console=Terminal(highlight=False), screen=False, auto_refresh=False) as live:
        for document in documents:
            live.update(Text(text(document), no_wrap=True, overflow="ellipsis"), refresh=True)
