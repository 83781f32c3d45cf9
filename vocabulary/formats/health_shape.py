"""`serving.health` of a deployment file: when a worker counts as dead, and how its group is built again."""

from __future__ import annotations

from typing import Annotated

from vocabulary.deployment import Health
from vocabulary.formats.shapes import NaturalNumber, Positive, Shape, told
from vocabulary.steps import RestartPolicy

_HEALTH = Health()
_RESTARTS = _HEALTH.restarts


class RestartsShape(Shape):
    max_restarts: Annotated[
        NaturalNumber, told("Of a group within `within_s`; the next failure gives it up.")
    ] = _RESTARTS.max_restarts
    within_s: Annotated[Positive, told("The time in which restarts are counted.")] = _RESTARTS.within_s
    backoff_s: Annotated[Positive, told("Before the first restart; doubled for each further one.")] = (
        _RESTARTS.backoff_s
    )
    max_backoff_s: Annotated[Positive, told("The longest pause between restarts.")] = _RESTARTS.max_backoff_s


class HealthShape(Shape):
    beat_interval_s: Annotated[
        Positive,
        told("From one heartbeat of a group to the next; what front ends know of each other is as old."),
    ] = _HEALTH.beat_interval_s
    beat_timeout_s: Annotated[Positive, told("A worker that was not heard for so long is killed.")] = (
        _HEALTH.beat_timeout_s
    )
    orphan_grace_s: Annotated[
        Positive, told("Workers, and a Ray of the fleet's own, wait so long for another controller.")
    ] = _HEALTH.orphan_grace_s
    node_timeout_s: Annotated[Positive, told("A host that is gone for so long is planned without.")] = (
        _HEALTH.node_timeout_s
    )
    restarts: Annotated[RestartsShape, told("How often, and how soon, a group is started again.")] = (
        RestartsShape.model_construct()
    )

    def noun(self) -> Health:
        """What it says."""
        policy = RestartPolicy(**self.restarts.model_dump())
        return Health(
            self.beat_interval_s, self.beat_timeout_s, self.orphan_grace_s, self.node_timeout_s, policy
        )
