"""Waiting for what groups promised: within the time, until one breaks its promise, or the fleet stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import ray

from controller.on_ray.group import RayGroup, answer_of
from vocabulary.errors import RuntimeFailure

# How often a wait looks whether it was interrupted.
LOOK_S = 0.2


@final
class Gathering:
    """Waits that end with a RuntimeFailure once `is_stopping` is set."""

    def __init__(self, is_stopping: threading.Event) -> None:
        self._is_stopping = is_stopping

    def several(
        self,
        groups: Sequence[RayGroup],
        promises: Sequence[Sequence[ray.ObjectRef]],
        *,
        doing: str,
        timeout_s: float,
    ) -> Mapping[str, list[Any]]:
        """As `one_each`, with several answers of each group, by its id."""
        owners = [group for group, each in zip(groups, promises, strict=True) for _ in each]
        flat = [promise for each in promises for promise in each]
        found: dict[str, list[Any]] = {group.id: [] for group in groups}
        for group, answer in zip(
            owners, self.one_each(owners, flat, doing=doing, timeout_s=timeout_s), strict=True
        ):
            found[group.id].append(answer)
        return found

    def one_each(
        self,
        groups: Sequence[RayGroup],
        promises: Sequence[ray.ObjectRef],
        *,
        doing: str,
        timeout_s: float,
        arrived: Callable[[RayGroup], None] = lambda group: None,
    ) -> list[Any]:
        """The answers in the groups' order; the first broken promise is raised."""
        deadline_s = time.monotonic() + timeout_s
        group_of = dict(zip(promises, groups, strict=True))
        answers: dict[ray.ObjectRef, Any] = {}
        waiting = list(promises)
        while waiting:
            self.check()
            if time.monotonic() > deadline_s:
                late = ", ".join(group_of[promise].id for promise in waiting)
                raise RuntimeFailure(
                    f"{doing} took longer than {timeout_s:g} s (group {late})",
                    hint="see the logs of Ray; fewer batch sizes and sequence lengths compile sooner",
                )
            done, waiting = ray.wait(waiting, timeout=LOOK_S)
            for promise in done:
                answers[promise] = answer_of(group_of[promise], promise, doing=doing)
                arrived(group_of[promise])
        return [answers[promise] for promise in promises]

    def check(self) -> None:
        """Raises RuntimeFailure when the fleet stops."""
        if self._is_stopping.is_set():
            raise RuntimeFailure("the fleet was stopped while its groups were starting")
