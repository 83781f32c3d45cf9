"""What a worker process needs to know to lead a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from resharding.transport.endpoints import Endpoint
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Group
from vocabulary.units import NEVER_S


@dataclass(frozen=True, slots=True)
class FollowerAddress:
    """Where a process that runs stages for a group's leader hears it, and takes arrays."""

    host: str
    port: int
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One group of a fleet. `models` are the specs of the models placed on it.

    engine: "emulated", or "jax" on `platform` devices ("cpu": the group's devices are virtual ones).
    source_folder: where relative model sources start. socket_path: where to listen; empty for TCP.
    followers: on the group's further hosts, in the order of its stages. peer_timeout_s: how long one of the
    group's processes may say nothing, or a transfer between them stand still, before the group is lost.
    allow_python_models: sources may be the user's own code. limits: of the models that generate on the group.
    beat_interval_s: between two heartbeats. orphan_grace_s: a worker that no front end has been linked to for
    so long ends itself.
    """

    group: Group
    models: tuple[ModelSpec, ...]
    catalog: Catalog
    policy: Policy
    engine: str
    platform: str
    source_folder: str
    key: str = field(repr=False)
    socket_path: str
    host: str = "127.0.0.1"
    beat_interval_s: float = 0.5
    orphan_grace_s: float = NEVER_S
    followers: tuple[FollowerAddress, ...] = ()
    peer_timeout_s: float = 20.0
    allow_python_models: bool = False
    limits: Mapping[str, GenerationLimits] = field(default_factory=dict)

    @property
    def stages_of_processes(self) -> tuple[range, ...]:
        """The stages of the leader, then those of each follower."""
        return tuple(one.stages for one in host_stages(self.group))


@dataclass(frozen=True, slots=True)
class HostStages:
    """The stages of a group that one host runs."""

    host: str
    stages: range


def host_stages(group: Group) -> tuple[HostStages, ...]:
    """In the order of stages. Raises InvalidInput for a stage on two hosts, or stages of a host far apart."""
    hosts_of = [
        [device.rpartition(":")[0] for device in group.stage_devices(stage)] for stage in _stages(group)
    ]
    for stage, hosts in enumerate(hosts_of):
        if len(set(hosts)) > 1:
            raise InvalidInput(
                f"stage {stage} of group {group.id} lies on hosts {', '.join(sorted(set(hosts)))}",
                hint="tensor parallelism stays inside a host: list the devices host by host",
            )
    runs = [
        (host, [*stages]) for host, stages in groupby(_stages(group), key=lambda stage: hosts_of[stage][0])
    ]
    names = [host for host, _ in runs]
    for host in names:
        if names.count(host) > 1:
            raise InvalidInput(
                f"the stages of group {group.id} on host {host} do not follow each other",
                hint="list the group's devices host by host",
            )
    return tuple(HostStages(host, range(stages[0], stages[-1] + 1)) for host, stages in runs)


def _stages(group: Group) -> range:
    return range(group.config.pipeline)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker listens: a Unix socket on its own host, or a TCP port."""

    socket_path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.socket_path}" if self.socket_path else f"{self.host}:{self.port}"
