"""`serving.health` of a deployment file: when a worker counts as dead, and how its group is built again."""

from __future__ import annotations

from vocabulary.deployment import Health
from vocabulary.formats.shapes import NaturalNumber, Positive, Shape
from vocabulary.steps import RestartPolicy

_HEALTH = Health()
_RESTARTS = _HEALTH.restarts


class RestartsShape(Shape):
    max_restarts: NaturalNumber = _RESTARTS.max_restarts
    within_s: Positive = _RESTARTS.within_s
    backoff_s: Positive = _RESTARTS.backoff_s
    max_backoff_s: Positive = _RESTARTS.max_backoff_s


class HealthShape(Shape):
    beat_interval_s: Positive = _HEALTH.beat_interval_s
    beat_timeout_s: Positive = _HEALTH.beat_timeout_s
    orphan_grace_s: Positive = _HEALTH.orphan_grace_s
    node_timeout_s: Positive = _HEALTH.node_timeout_s
    restarts: RestartsShape = RestartsShape.model_construct()

    def noun(self) -> Health:
        """What it says."""
        policy = RestartPolicy(**self.restarts.model_dump())
        return Health(
            self.beat_interval_s, self.beat_timeout_s, self.orphan_grace_s, self.node_timeout_s, policy
        )
