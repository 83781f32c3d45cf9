"""A fleet's groups on Ray: started, changed, watched, stopped; from any thread, several at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import ray

from controller.on_ray.gather import LOOK_S, Gathering
from controller.on_ray.group import RayGroup, cause_of_death
from controller.on_ray.nouns import HostNode, Limits, Lost, Progress, StartedGroup
from controller.on_ray.weight_sources import Reached, WeightSources
from vocabulary.errors import Infeasible, RuntimeFailure
from vocabulary.units import format_bytes
from workers.actor import Identity, Started
from workers.multicast import STORE, Multicast
from workers.spec import WorkerSpec


@final
class RayGroups:
    """Holds every group that was asked for until it is stopped, which may come while others wait.

    Of two calls about the same group at once, the later is the caller's mistake. is_there: whether the node
    is still the host's; a start need not wait for one that is not.
    """

    def __init__(
        self,
        *,
        progress: Progress,
        limits: Limits,
        weights: WeightSources,
        is_there: Callable[[HostNode], bool],
    ) -> None:
        self._progress = progress
        self._is_there_now = is_there
        self._weights = weights
        self._limits = limits
        self._is_stopping = threading.Event()
        self._gathering = Gathering(self._is_stopping)
        # Guards what follows; nobody waits for Ray with it.
        self._lock = threading.Lock()
        self._groups: tuple[RayGroup, ...] = ()
        self._told: set[RayGroup] = set()
        self._lost: Lost | None = None

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Of the actors of each group that is warm."""
        return {group.id: group.actor_names for group in self._groups if group.is_warm}

    def start(self, groups: Sequence[RayGroup]) -> tuple[StartedGroup, ...]:
        """Raises what a worker raised, else Infeasible or RuntimeFailure; then none of `groups` runs.

        Groups of the same ids that run, or have died, are released first.
        """
        ids = {group.id for group in groups}
        self._release([group for group in self._groups if group.id in ids])
        with self._lock:
            self._gathering.check()
            self._groups += tuple(groups)
        try:
            return self._start(groups)
        except BaseException:
            self._release(groups)
            for group in groups:  # It may have been released already, by `stop_all`, and gone on since.
                group.release()
            raise

    def change(self, spec: WorkerSpec, *, add: Collection[str], remove: Collection[str]) -> StartedGroup:
        """A group that runs gets the models of `spec`: first those to `remove` go, then the others come.

        Raises what the worker raised, and the group is as it was; but where models were to go and to come,
        those to go may be gone.
        """
        group = self._named(spec.group.id)
        answer: Started | None = None
        if remove:
            answer = self._remove(group, remove)
        if add:
            answer = self._add(group, spec, add)
        assert answer is not None, f"group {group.id}: nothing to add, nothing to remove"
        return _started(group, answer)

    def take_over(self, groups: Sequence[tuple[RayGroup, Started]]) -> tuple[StartedGroup, ...]:
        """Groups that were found running."""
        with self._lock:
            self._groups += tuple(group for group, _ in groups)
        for group, _ in groups:
            self._is_there(group)
        return tuple(_started(group, answer) for group, answer in groups)

    def watch(self, lost: Lost) -> None:
        """Call `lost`, on another thread, once for each group that dies and was not stopped, from now on."""
        with self._lock:
            self._lost = lost
            groups = [group for group in self._groups if group.is_warm]
        for group in groups:
            self._hang_on(group)

    def stop(self, group_ids: Collection[str]) -> None:
        self._release([group for group in self._groups if group.id in group_ids])

    def kill(self, group_id: str) -> None:
        """At once, without a word to its processes."""
        for group in self._taken_out([group for group in self._groups if group.id == group_id]):
            group.release()

    def stop_all(self) -> None:
        self._is_stopping.set()
        self._release(self._groups)

    def leave(self) -> None:
        """They go on without this process; no loss is told any more."""
        self._is_stopping.set()
        with self._lock:
            self._groups, self._lost = (), None

    def _start(self, groups: Sequence[RayGroup]) -> tuple[StartedGroup, ...]:
        start_s = time.monotonic()
        self._reserve(groups)
        identities: Mapping[str, list[Identity]] = self._several(
            groups, [group.create() for group in groups], doing="starting its processes"
        )
        for group in groups:
            group.identities = tuple(identities[group.id])
            _verify_nodes(group)
        multicasts = self._multicasts(groups)
        for group in groups:
            hosts = ", ".join(share.node.host for share in group.shares[: len(group.identities)])
            self._progress(f"group {group.id}: loading {len(group.spec.models)} models on {hosts}")
        self._gathering.one_each(
            groups,
            [group.read(_expected(group, multicasts)) for group in groups],
            doing="reading its weights",
            timeout_s=self._limits.load_s,
        )
        self._ask_to_give(multicasts, but=groups)
        answers: list[Started] = self._gathering.one_each(
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
            self._is_there(group)
        return tuple(_started(group, answer) for group, answer in zip(groups, answers, strict=True))

    def _remove(self, group: RayGroup, remove: Collection[str]) -> Started:
        before = group.spec
        kept = [name for name in before.group.models if name not in remove]
        group.changed(_with_models(before, kept, known=before))
        try:
            (answer,) = self._each(group, group.remove(sorted(remove)), doing="removing models")
        except BaseException:
            group.changed(before)
            raise
        return answer

    def _add(self, group: RayGroup, spec: WorkerSpec, add: Collection[str]) -> Started:
        before = group.spec
        multicasts = self._multicasts_to(group, spec, add)
        group.changed(spec)
        self._progress(f"group {group.id}: loading {', '.join(sorted(add))} besides what it has")
        try:
            self._several([group], [group.learn()], doing="hearing of more models")
            self._each(
                group, group.read_more(sorted(add), _expected(group, multicasts)), doing="reading weights"
            )
            self._ask_to_give(multicasts, but=(group,))
            (answer,) = self._each(group, group.add(sorted(add), multicasts), doing="loading models")
        except BaseException:
            group.changed(before)
            raise
        self._tell_loads(group, replace(answer, loads=tuple(one for one in answer.loads if one.model in add)))
        return answer

    def _multicasts_to(
        self, group: RayGroup, spec: WorkerSpec, add: Collection[str]
    ) -> tuple[Multicast, ...]:
        """Which of the models that a living group is to get come to it from others."""
        if group.reached is None:
            return ()
        coming = Reached(_with_models(group.spec, add, known=spec), group.reached.endpoints)
        return self._weights.choose([coming], self._givers(but=(group,)))

    def _multicasts(self, groups: Sequence[RayGroup]) -> tuple[Multicast, ...]:
        """Which weights come to these groups from others, or from the first of them."""
        found: Mapping[str, list[Any]] = self._several(
            groups, [group.open() for group in groups], doing="opening its processes"
        )
        for group in groups:
            if found[group.id]:
                group.opened(found[group.id][0], found[group.id][1:])
        new = [group.reached for group in groups if group.reached]
        return self._weights.choose(new, self._givers(but=groups))

    def _givers(self, *, but: Sequence[RayGroup]) -> list[Reached]:
        return [
            group.reached for group in self._groups if group.is_warm and group.reached and group not in but
        ]

    def _ask_to_give(self, multicasts: Sequence[Multicast], *, but: Sequence[RayGroup]) -> None:
        """Living groups, of which nobody waits for an answer: who gets nothing reads the store."""
        for group in self._groups:
            mine = [one for one in multicasts if one.involves(group.id)]
            if mine and group not in but:
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
            while not group.is_reserved(timeout_s=LOOK_S):
                self._gathering.check()
                self._check_nodes(group)
                if group not in self._groups:
                    raise RuntimeFailure(f"group {group.id} was ended while it waited for its devices")
                if time.monotonic() > deadline_s:
                    raise _not_reserved(group, timeout_s)

    def _check_nodes(self, group: RayGroup) -> None:
        for share in group.shares:
            if not self._is_there_now(share.node):
                raise Infeasible(
                    f"group {group.id} needs {share.node.host}, whose node has just gone",
                    hint="start the node again (`ray start --address=...`), or plan without it",
                )

    def _several(
        self, groups: Sequence[RayGroup], promises: Sequence[Sequence[ray.ObjectRef]], *, doing: str
    ) -> Mapping[str, list[Any]]:
        return self._gathering.several(groups, promises, doing=doing, timeout_s=self._limits.process_s)

    def _each(self, group: RayGroup, promise: ray.ObjectRef, *, doing: str) -> list[Any]:
        return self._gathering.one_each([group], [promise], doing=doing, timeout_s=self._limits.load_s)

    def _named(self, group_id: str) -> RayGroup:
        found = [group for group in self._groups if group.id == group_id and group.is_warm]
        if not found:
            raise RuntimeFailure(f"group {group_id} does not run", hint="start it first")
        return found[0]

    def _is_there(self, group: RayGroup) -> None:
        group.is_warm = True
        if self._lost is not None:
            self._hang_on(group)

    def _hang_on(self, group: RayGroup) -> None:
        for end in group.ends():
            end.future().add_done_callback(lambda done: self._tell(group, done))

    def _tell(self, group: RayGroup, done: Any) -> None:
        """Of several processes that die together, the first is told."""
        error = done.exception()
        with self._lock:
            is_news = error is not None and group in self._groups and group not in self._told
            lost = self._lost
            if is_news:
                self._told.add(group)
                group.is_warm = False  # Nobody gets weights from it.
        if is_news and lost is not None:
            lost(group.id, cause_of_death(error))

    def _taken_out(self, groups: Sequence[RayGroup]) -> list[RayGroup]:
        """Those of `groups` that are still ours to end."""
        with self._lock:
            ours = [group for group in groups if group in self._groups]
            self._groups = tuple(group for group in self._groups if group not in groups)
            self._told.difference_update(ours)
        return ours

    def _release(self, groups: Sequence[RayGroup]) -> None:
        """Stop in order what can be, kill the rest."""
        groups = self._taken_out(groups)
        stopping = [promise for group in groups for promise in group.ask_to_stop()]
        if stopping:
            ray.wait(stopping, num_returns=len(stopping), timeout=self._limits.stop_s)
        for group in groups:
            group.release()


def _started(group: RayGroup, answer: Started) -> StartedGroup:
    leader = group.identities[0]
    return StartedGroup(
        group.id,
        group.shares[0].node.host,
        leader.node_id,
        leader.pid,
        answer.address,
        answer.interfaces,
        group.spec.group,
        answer.loads,
    )


def _with_models(spec: WorkerSpec, models: Collection[str], *, known: WorkerSpec) -> WorkerSpec:
    """The spec with these models only, as `known` describes them."""
    return replace(
        spec,
        group=replace(spec.group, models=tuple(one for one in known.group.models if one in models)),
        models=tuple(one for one in known.models if one.name in models),
        catalog=known.catalog,
        limits={name: one for name, one in known.limits.items() if name in models},
    )


def _expected(group: RayGroup, multicasts: Sequence[Multicast]) -> list[str]:
    """Models that the group need not read."""
    return [model for one in multicasts if one.is_target(group.id) for model in one.models]


def _verify_nodes(group: RayGroup) -> None:
    for share, identity in zip(group.shares, group.identities, strict=False):
        wanted = share.node
        if identity.node_id != wanted.node_id:
            raise RuntimeFailure(
                f"group {group.id} runs on node {identity.node_id}, not on {wanted.node_id} ({wanted.host})",
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
