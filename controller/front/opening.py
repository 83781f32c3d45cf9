"""The further front ends of a deployment, made of what the fleet's process has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from controller.change.elastic import Elastic
from controller.front.front_ends import FrontEnds
from controller.journal import AbstractJournal
from controller.life.members import Members
from controller.life.past import Past
from controller.ports import Sharing
from vocabulary.deployment import Deployment
from vocabulary.page_budget import generation_limits


def further_front_ends(
    deployment: Deployment, *, members: Members, past: Past, journal: AbstractJournal, elastic: Elastic
) -> FrontEnds:
    """All but this process, not started yet; they know the groups that members do."""
    further = FrontEnds(
        deployment.front_ends - 1,
        members=members,
        next_front=past.next_front,
        journal=journal,
        restarts=deployment.health.restarts,
        clock=time.monotonic,
        answered=lambda line: elastic.observed.told(line, arrival_s=_monotonic_s(line.unix_s)),
        demand=elastic,
    )
    for member in members:
        further.roster.add_group(member.index, member.group, generation_limits(member.group, deployment))
    return further


def sharing_of(deployment: Deployment) -> Sharing:
    """Of the ports of this process."""
    return Sharing.FIRST if deployment.front_ends > 1 else Sharing.ALONE


def on_ports_of(deployment: Deployment, addresses: Mapping[str, str]) -> Deployment:
    """The deployment as it is served: with the ports that were found where any was asked for."""
    grpc = replace(deployment.grpc, port=_port(addresses["grpc"]))
    http = deployment.http
    if http.is_enabled:
        http = replace(http, port=_port(addresses["http"]))
    return replace(deployment, grpc=grpc, http=http)


def _monotonic_s(unix_s: float) -> float:
    """A time of a front end's on this host, on the clock that all of its processes share."""
    return unix_s - time.time() + time.monotonic()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
