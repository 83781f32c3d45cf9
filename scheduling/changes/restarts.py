"""How often something failed, when it is tried again, and when it is not any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

from vocabulary.steps import RestartPolicy
from vocabulary.units import NEVER_S

# A group's id, of its process; with a model, of loading that into it.
Tried = tuple[str, str]


@final
class Restarts:
    """Failures of groups and of loads, by the rules of one policy."""

    __slots__ = ("_failed_s", "_given_up", "_policy")

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._failed_s: dict[Tried, list[float]] = {}
        self._given_up: set[Tried] = set()

    def failed(self, tried: Tried, now_s: float) -> int:
        """It failed once more; returns how often it did within the policy's time. It may be given up now."""
        since_s = now_s - self._policy.within_s
        recent = [time_s for time_s in self._failed_s.get(tried, ()) if time_s > since_s]
        self._failed_s[tried] = [*recent, now_s]
        if len(recent) >= self._policy.max_restarts:
            self._given_up.add(tried)
        return len(recent) + 1

    def is_given_up(self, tried: Tried) -> bool:
        return tried in self._given_up

    def next_s(self, tried: Tried) -> float:
        """When it may be tried; NEVER_S when it is given up, 0 when it never failed."""
        if tried in self._given_up:
            return NEVER_S
        failed_s = self._failed_s.get(tried)
        if not failed_s:
            return 0.0
        policy = self._policy
        # Doubling is bounded by the longest wait well before floats are.
        wait_s = policy.backoff_s * 2.0 ** min(len(failed_s) - 1, 64)
        return failed_s[-1] + min(wait_s, policy.max_backoff_s)

    def try_again(self, forget: Collection[str] = ()) -> None:
        """What was given up, and all of the groups to forget, is tried as if it had never failed."""
        for tried in [*self._given_up, *(tried for tried in self._failed_s if tried[0] in forget)]:
            self._failed_s.pop(tried, None)
        self._given_up.clear()
