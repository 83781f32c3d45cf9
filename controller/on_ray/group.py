"""One group on Ray: a placement group pinned to its nodes, the actor that leads it, and those that follow."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, final

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from controller.on_ray.names import GroupName
from controller.on_ray.nouns import Share
from controller.on_ray.weight_sources import Reached
from resharding.transport.endpoints import Endpoint
from vocabulary.errors import RuntimeFailure, StatmuxError
from workers.actor import FollowerWorker, GroupWorker, Identity
from workers.multicast import Multicast
from workers.spec import FollowerAddress, WorkerSpec

_NODE_ID_LABEL = "ray.io/node-id"
# Which GPUs a process sees is the plan's choice, not Ray's.
_GPUS_ARE_OURS = {"env_vars": {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}}
# `wait` holds one thread for good, for each controller that came back; gives of weights may overlap.
_MAX_CONCURRENCY = 32


@final
class RayGroup:
    """Reserve, create, open, read, start, release: in this order, release at any time.

    `shares[0]` is the leader's. Where the group computes, each further share has a follower. Actors and
    reservation are detached: they outlive this process, which finds them again by their names (`found`).
    """

    def __init__(self, spec: WorkerSpec, shares: Sequence[Share], *, incarnation: str = "") -> None:
        self.spec = spec
        self.shares = tuple(shares)
        self.name = GroupName(spec.group.id, incarnation or secrets.token_hex(4))
        # What its processes are, once known, in the order of their places.
        self.identities: tuple[Identity, ...] = ()
        # Whether others may get weights from it.
        self.is_warm = False
        self._reservation: PlacementGroup | None = None
        self._worker: Any = None
        self._followers: list[Any] = []
        self.reached: Reached | None = None

    @property
    def id(self) -> str:
        return self.spec.group.id

    @property
    def actor_names(self) -> tuple[str, ...]:
        return tuple(self.name.actor(place) for place in range(len(self._actors)))

    def found(self, actors: Sequence[Any], reservation: PlacementGroup) -> None:
        """Instead of `reserve` and what follows: these run already, the leader first."""
        self._worker, *self._followers = actors
        self._reservation = reservation

    def reserve(self) -> None:
        """Ask for the devices, one bundle a host, each on its own node."""
        self._reservation = placement_group(
            [{share.node.resource: float(len(share.device_indices))} for share in self.shares],
            name=str(self.name),
            lifetime="detached",
            bundle_label_selector=[{_NODE_ID_LABEL: share.node.node_id} for share in self.shares],
        )

    def is_reserved(self, *, timeout_s: float) -> bool:
        assert self._reservation is not None
        return self._reservation.wait(timeout_s)

    def create(self) -> list[ray.ObjectRef]:
        """Make the actors, each on its bundle; promises their Identities, the leader's first."""
        spec = self.spec
        self._worker = self._actor(
            GroupWorker,
            0,
            engine=spec.engine,
            platform=spec.platform,
            device_indices=self.shares[0].device_indices,
        )
        if spec.engine == "jax":
            self._followers = [
                self._actor(
                    FollowerWorker, place, platform=spec.platform, device_indices=share.device_indices
                )
                for place, share in enumerate(self.shares[1:], start=1)
            ]
        return [actor.prepare.remote() for actor in self._actors]

    def open(self) -> list[ray.ObjectRef]:
        """Promises where arrays reach a computing group: the leader's Endpoint, each FollowerAddress."""
        if self.spec.engine != "jax":
            return []
        followers = [
            follower.listen.remote(replace(self.spec, host=self.shares[place].node.address), place)
            for place, follower in enumerate(self._followers, start=1)
        ]
        return [self._worker.open.remote(self.spec.host, self.spec.peer_timeout_s), *followers]

    def opened(self, endpoint: Endpoint, followers: Sequence[FollowerAddress]) -> None:
        """What `open` promised."""
        self.spec = replace(self.spec, followers=tuple(followers))
        self._reach(endpoint)

    def changed(self, spec: WorkerSpec) -> WorkerSpec:
        """It is to have the models of this spec; the rest is as it was. For `read_more` and `remove`."""
        ours = self.spec
        self.spec = replace(
            spec, socket_path=ours.socket_path, host=ours.host, followers=ours.followers, key=ours.key
        )
        if self.reached is not None:
            self.reached = Reached(self.spec, self.reached.endpoints)
        return self.spec

    def _reach(self, endpoint: Endpoint) -> None:
        followers = (one.endpoint for one in self.spec.followers)
        self.reached = Reached(self.spec, (endpoint, *followers))

    def read(self, expected: Sequence[str]) -> ray.ObjectRef:
        """Read weights, but for the `expected` models'."""
        return self._worker.read.remote(self.spec, tuple(expected))

    def start(self, multicasts: Sequence[Multicast]) -> ray.ObjectRef:
        """Take part in these, load and listen; promises a Started."""
        return self._worker.start.remote(tuple(multicasts))

    def learn(self) -> list[ray.ObjectRef]:
        """Let followers know the spec with more models, before `read_more`."""
        return [follower.learn.remote(self.spec) for follower in self._followers]

    def read_more(self, add: Sequence[str], expected: Sequence[str]) -> ray.ObjectRef:
        """Read weights of more models, which are in the spec by now, but for the `expected`."""
        return self._worker.read_more.remote(self.spec, tuple(add), tuple(expected))

    def add(self, models: Sequence[str], multicasts: Sequence[Multicast]) -> ray.ObjectRef:
        """Take part in these and make the models ready, while the others serve; promises a Started."""
        return self._worker.add.remote(tuple(models), tuple(multicasts))

    def remove(self, models: Sequence[str]) -> ray.ObjectRef:
        """Forget these models and their weights; promises a Started."""
        return self._worker.remove.remote(tuple(models))

    def give(self, multicasts: Sequence[Multicast]) -> ray.ObjectRef:
        """Give weights to new replicas, while serving."""
        return self._worker.give.remote(tuple(multicasts))

    def ends(self) -> list[ray.ObjectRef]:
        """Promises that are kept when the group is stopped; one is broken when its process dies."""
        return [actor.wait.remote() for actor in self._actors]

    def ask_to_stop(self) -> list[ray.ObjectRef]:
        """Followers too: they end with their leader, but that may be dead."""
        return [actor.stop.remote() for actor in self._actors]

    @property
    def _actors(self) -> list[Any]:
        return ([] if self._worker is None else [self._worker]) + self._followers

    def _actor(self, kind: type, place: int, **arguments: Any) -> Any:
        assert self._reservation is not None
        actor = _remote(kind).options(
            **_actor_resources(self.shares[place]),
            name=self.name.actor(place),
            lifetime="detached",
            max_restarts=0,
            max_concurrency=_MAX_CONCURRENCY,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._reservation, place),
            runtime_env=None if self.spec.platform == "cpu" else _GPUS_ARE_OURS,
        )
        return actor.remote(**arguments)

    def release(self) -> None:
        """Kill the actors, give the devices back: that ends also a process that is stopped, at once, where
        killing an actor alone would take Ray five seconds."""
        self.is_warm = False
        for actor in self._actors:
            ray.kill(actor)
        if self._reservation is not None:
            remove_placement_group(self._reservation)
        self._worker = self._reservation = None
        self._followers = []


@cache
def _remote(kind: type) -> Any:
    """One for all restarts: of each new one, Ray would keep the methods here and the pickle in its store."""
    return ray.remote(kind)


def answer_of(group: RayGroup, promise: ray.ObjectRef, *, doing: str) -> Any:
    """What a promise of the group's gives. A StatmuxError rises as the worker raised it."""
    try:
        return ray.get(promise)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, StatmuxError):
            raise error.cause from None
        raise RuntimeFailure(
            f"group {group.id} failed while {doing}: {error.cause!r}", hint=str(error).strip()
        ) from error
    except ray.exceptions.RayError as error:
        raise RuntimeFailure(
            f"the worker of group {group.id} died while {doing}: {cause_of_death(error)}",
            hint="every node needs the same statmux, Python and Ray, and memory for the group's models",
        ) from error


def cause_of_death(error: BaseException) -> str:
    """The telling line of what Ray says about a dead actor."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else repr(error)


def _actor_resources(share: Share) -> Mapping[str, Any]:
    count = len(share.device_indices)
    match share.node.resource:
        case "GPU":
            return {"num_cpus": 0, "num_gpus": count}
        case "CPU":
            return {"num_cpus": count}
        case custom:
            return {"num_cpus": 0, "resources": {custom: count}}
