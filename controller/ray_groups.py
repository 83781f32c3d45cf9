"""A fleet's groups on Ray: started together, watched, stopped together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

import ray

from controller.ray_group import RayGroup, answer_of, cause_of_death
from controller.ray_nouns import Limits, Lost, Progress, StartedGroup
from controller.weight_sources import WeightSources
from vocabulary.errors import Infeasible, RuntimeFailure
from vocabulary.units import format_bytes
from workers.actor import Identity, Started
from workers.multicast import STORE, Multicast

# How often a wait looks whether it was interrupted.
_LOOK_S = 0.2


@final
class RayGroups:
    """Holds every group that was asked for until it is stopped, which may come while others wait."""

    def __init__(self, *, progress: Progress, limits: Limits, weights: WeightSources) -> None:
        self._progress = progress
        self._weights = weights
        self._limits = limits
        self._groups: list[RayGroup] = []
        self._is_stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self, groups: Sequence[RayGroup]) -> tuple[StartedGroup, ...]:
        """Raises what a worker raised, else Infeasible or RuntimeFailure; then none of `groups` runs."""
        self._groups += groups
        try:
            return self._start(groups)
        except BaseException:
            self._release(groups)
            raise

    def watch(self, lost: Lost) -> None:
        """Call `lost`, on another thread, once for each group that dies and was not stopped."""
        told: set[str] = set()
        for group in self._groups:
            for end in group.ends():
                end.future().add_done_callback(lambda done, group=group: self._tell(group, done, lost, told))

    def stop(self, group_ids: Collection[str]) -> None:
        self._release([group for group in self._groups if group.id in group_ids])

    def stop_all(self) -> None:
        self._is_stopping.set()
        self._release(tuple(self._groups))

    def _start(self, groups: Sequence[RayGroup]) -> tuple[StartedGroup, ...]:
        start_s = time.monotonic()
        self._reserve(groups)
        identities: Mapping[str, list[Identity]] = self._gather_all(
            groups, [group.create() for group in groups], doing="starting its processes"
        )
        _verify_nodes(groups, identities)
        multicasts = self._multicasts(groups)
        for group in groups:
            hosts = ", ".join(share.node.host for share in group.shares[: len(identities[group.id])])
            self._progress(f"group {group.id}: loading {len(group.spec.models)} models on {hosts}")
        self._gather(
            groups,
            [group.read(_expected(group, multicasts)) for group in groups],
            doing="reading its weights",
            timeout_s=self._limits.load_s,
        )
        self._ask_to_give(groups, multicasts)
        answers: list[Started] = self._gather(
            groups,
            [group.start(multicasts) for group in groups],
            doing="loading its models",
            timeout_s=self._limits.load_s,
            arrived=lambda group: self._progress(
                f"group {group.id}: ready after {time.monotonic() - start_s:.1f} s"
            ),
        )
        for group, answer in zip(groups, answers, strict=True):
            self._tell_loads(group, answer)
        return tuple(
            _started(group, identities[group.id][0], answer)
            for group, answer in zip(groups, answers, strict=True)
        )

    def _multicasts(self, groups: Sequence[RayGroup]) -> tuple[Multicast, ...]:
        """Which weights come to these groups from others, or from the first of them."""
        found: Mapping[str, list[Any]] = self._gather_all(
            groups, [group.open() for group in groups], doing="opening its processes"
        )
        for group in groups:
            if found[group.id]:
                group.opened(found[group.id][0], found[group.id][1:])
        living = [group.reached for group in self._groups if group not in groups and group.reached]
        return self._weights.choose([group.reached for group in groups if group.reached], living)

    def _ask_to_give(self, groups: Sequence[RayGroup], multicasts: Sequence[Multicast]) -> None:
        """Living groups, of which nobody waits for an answer: who gets nothing reads the store."""
        for group in self._groups:
            mine = [one for one in multicasts if one.involves(group.id)]
            if mine and group not in groups:
                group.give(mine)

    def _tell_loads(self, group: RayGroup, started: Started) -> None:
        self._weights.learn(started.loads)
        for load in started.loads:
            origin = load.origin if load.origin == STORE else f"group {load.origin}"
            why = f" ({load.why})" if load.why else ""
            self._progress(
                f"group {group.id}: {format_bytes(load.num_bytes)} of {load.model} from {origin} "
                f"in {load.seconds:.2f} s{why}"
            )

    def _reserve(self, groups: Sequence[RayGroup]) -> None:
        for group in groups:
            group.reserve()
        timeout_s = self._limits.reserve_s
        deadline_s = time.monotonic() + timeout_s
        for group in groups:
            while not group.is_reserved(timeout_s=_LOOK_S):
                self._check()
                if time.monotonic() > deadline_s:
                    raise _not_reserved(group, timeout_s)

    def _gather_all(
        self, groups: Sequence[RayGroup], promises: Sequence[Sequence[ray.ObjectRef]], *, doing: str
    ) -> Mapping[str, list[Any]]:
        """As `_gather`, with several answers of each group, by its id."""
        owners = [group for group, each in zip(groups, promises, strict=True) for _ in each]
        flat = [promise for each in promises for promise in each]
        found: dict[str, list[Any]] = {group.id: [] for group in groups}
        answers = self._gather(owners, flat, doing=doing, timeout_s=self._limits.process_s)
        for group, answer in zip(owners, answers, strict=True):
            found[group.id].append(answer)
        return found

    def _gather(
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
            self._check()
            if time.monotonic() > deadline_s:
                late = ", ".join(group_of[promise].id for promise in waiting)
                raise RuntimeFailure(
                    f"{doing} took longer than {timeout_s:g} s (group {late})",
                    hint="see the logs of Ray; fewer batch sizes and sequence lengths compile sooner",
                )
            done, waiting = ray.wait(waiting, timeout=_LOOK_S)
            for promise in done:
                answers[promise] = answer_of(group_of[promise], promise, doing=doing)
                arrived(group_of[promise])
        return [answers[promise] for promise in promises]

    def _check(self) -> None:
        if self._is_stopping.is_set():
            raise RuntimeFailure("the fleet was stopped while its groups were starting")

    def _tell(self, group: RayGroup, done: Any, lost: Lost, told: set[str]) -> None:
        """Of several processes that die together, the first is told."""
        error = done.exception()
        with self._lock:
            is_news = error is not None and group in self._groups and group.id not in told
            if is_news:
                told.add(group.id)
                group.reached = None  # Nobody gets weights from it.
        if is_news:
            lost(group.id, cause_of_death(error))

    def _release(self, groups: Sequence[RayGroup]) -> None:
        """Stop in order what can be, kill the rest."""
        self._groups = [group for group in self._groups if group not in groups]
        stopping = [promise for group in groups for promise in group.ask_to_stop()]
        if stopping:
            ray.wait(stopping, num_returns=len(stopping), timeout=self._limits.stop_s)
        for group in groups:
            group.release()


def _started(group: RayGroup, identity: Identity, answer: Started) -> StartedGroup:
    host = group.shares[0].node.host
    return StartedGroup(
        group.id, host, identity.node_id, identity.pid, answer.address, answer.interfaces, answer.loads
    )


def _expected(group: RayGroup, multicasts: Sequence[Multicast]) -> list[str]:
    """Models that the group need not read."""
    return [model for one in multicasts if one.is_target(group.id) for model in one.models]


def _verify_nodes(groups: Sequence[RayGroup], identities: Mapping[str, Sequence[Identity]]) -> None:
    for group in groups:
        for share, identity in zip(group.shares, identities[group.id], strict=False):
            wanted = share.node
            if identity.node_id != wanted.node_id:
                raise RuntimeFailure(
                    f"group {group.id} runs on node {identity.node_id}, not on {wanted.node_id} "
                    f"({wanted.host})",
                    hint="this Ray does not pin bundles by label: use the version of the lock file",
                )


def _not_reserved(group: RayGroup, timeout_s: float) -> Infeasible:
    needs = "; ".join(
        f"{len(share.device_indices)} {share.node.resource} on {share.node.host} ({share.node.address})"
        for share in group.shares
    )
    free = ray.available_resources()
    names = sorted({share.node.resource for share in group.shares})
    return Infeasible(
        f"group {group.id} needs {needs}; Ray did not reserve them within {timeout_s:g} s, "
        f"the whole cluster has {', '.join(f'{free.get(name, 0.0):g} {name}' for name in names)} free",
        hint="another job or fleet holds the devices: stop it, or plan for fewer (`ray status` shows them)",
    )
