"""Waits until a fleet runs what is wanted of it, and says what does not come to run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from statmux.asking import asked
from statmux.render import Console
from vocabulary.errors import Infeasible, RuntimeFailure, TimedOut

_ASK_TIMEOUT_S = 10.0


def until_converged(console: Console, path: Path, *, timeout_s: float) -> float:
    """Seconds that it took. Raises TimedOut; Infeasible where a model would be interrupted without leave;
    RuntimeFailure where a group was given up."""
    start_s = time.monotonic()
    with console.progress("waiting until it runs") as progress:
        while not (told := asked(path, "progress", timeout_s=_ASK_TIMEOUT_S))["is_converged"]:
            if time.monotonic() - start_s > timeout_s:
                raise TimedOut(
                    f"the fleet did not get there within {timeout_s:g} s ({_states(told)})",
                    hint="it goes on; see `statmux status --watch`, or apply what ran before",
                )
            progress.step(0, note=_states(told))
    _raise_given_up(told["given_up"])
    return time.monotonic() - start_s


def _raise_given_up(given_up: list[dict[str, Any]]) -> None:
    if not given_up:
        return
    words = "; ".join(f"group {one['group']}: {one['why']}" for one in given_up)
    if any(one["models"] for one in given_up):
        hint = "let the fleet interrupt them with --interrupt, or give it another device first"
        raise Infeasible(f"the change stopped half-way: {words}", hint=hint)
    raise RuntimeFailure(f"not all of it runs: {words}", hint="see the log of `serve`, then apply again")


def _states(told: dict[str, Any]) -> str:
    """Groups that are under way."""
    busy = [f"{group} {state}" for group, state in told["groups"].items() if state != "open"]
    return ", ".join(busy) or "moving"
