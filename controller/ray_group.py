"""One group on Ray: a placement group pinned to its nodes, and the actor that leads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from controller.ray_nouns import Share
from vocabulary.errors import RuntimeFailure, StatmuxError
from workers.actor import GroupWorker
from workers.spec import WorkerSpec

_NODE_ID_LABEL = "ray.io/node-id"
# Which GPUs a process sees is the plan's choice, not Ray's.
_GPUS_ARE_OURS = {"env_vars": {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}}


@final
class RayGroup:
    """Reserve, create, start, release: in this order, release at any time. `shares[0]` is the leader's."""

    def __init__(self, spec: WorkerSpec, shares: Sequence[Share]) -> None:
        self.spec = spec
        self.shares = tuple(shares)
        self._reservation: PlacementGroup | None = None
        self._worker: Any = None

    @property
    def id(self) -> str:
        return self.spec.group.id

    def reserve(self) -> None:
        """Ask for the devices, one bundle a host, each on its own node."""
        self._reservation = placement_group(
            [{share.node.resource: float(len(share.device_indices))} for share in self.shares],
            bundle_label_selector=[{_NODE_ID_LABEL: share.node.node_id} for share in self.shares],
        )

    def is_reserved(self, *, timeout_s: float) -> bool:
        assert self._reservation is not None
        return self._reservation.wait(timeout_s)

    def create(self) -> ray.ObjectRef:
        """Make the actor on the leader's bundle; promises its Identity."""
        assert self._reservation is not None
        actor = ray.remote(GroupWorker).options(
            **_actor_resources(self.shares[0]),
            max_restarts=0,
            max_concurrency=4,  # `wait` holds one thread for good
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._reservation, 0),
            runtime_env=None if self.spec.platform == "cpu" else _GPUS_ARE_OURS,
        )
        spec = self.spec
        self._worker = actor.remote(
            engine=spec.engine, platform=spec.platform, device_indices=self.shares[0].device_indices
        )
        return self._worker.prepare.remote()

    def start(self) -> ray.ObjectRef:
        """Load and listen; promises a Started."""
        return self._worker.start.remote(self.spec)

    def end(self) -> ray.ObjectRef:
        """A promise that is kept when the group is stopped and broken when its process dies."""
        return self._worker.wait.remote()

    def ask_to_stop(self) -> ray.ObjectRef | None:
        return None if self._worker is None else self._worker.stop.remote()

    def release(self) -> None:
        """Kill the actor, give the devices back."""
        if self._worker is not None:
            ray.kill(self._worker)
        if self._reservation is not None:
            remove_placement_group(self._reservation)
        self._worker = self._reservation = None


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
