"""A clock that somebody sets back or forth moves no request: what decides asks the monotonic one only."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("controller", "workers", "scheduling", "simulator", "placement", "resharding", "vocabulary")
WALL = re.compile(r"\btime\.time(?:_ns)?\(\)|\bdatetime\.(?:now|utcnow)\(")
# What people or other programs read: stamps of answers, lines and scrapes. `weight_sources`: epochs that a
# controller after this one goes on above; with a clock set back, weights are read from the store instead.
# `front/opening`: what a further front end has answered, on the clock of traffic that plans look at.
STAMPS = {
    "controller/compat_metrics.py",
    "controller/front/opening.py",
    "controller/http/chat.py",
    "controller/http/completions.py",
    "controller/http/describe.py",
    "controller/live/view.py",
    "controller/metrics.py",
    "controller/on_ray/weight_sources.py",
    "controller/server.py",
    "controller/text/chat_template.py",
}


def test_the_wall_clock_is_asked_for_stamps_only() -> None:
    asking = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if WALL.search(path.read_text())
    }
    assert asking == STAMPS
