"""What a heartbeat tells of a group's load: own requests are known, those of other front ends are not."""

from __future__ import annotations

from collections.abc import Mapping

from scheduling.dispatch import Candidate
from scheduling.load import GroupLoad
from vocabulary.messages import GroupHeard


def hear(event: GroupHeard, load: GroupLoad, replicas: Mapping[str, Candidate]) -> None:
    """The group's load, and that of its models that generate, count what other front ends sent there.

    Nothing changes where all that the group holds is our own.
    """
    load.heard(event.at_s, backlog_s=None if event.generating else event.backlog_s, num_held=event.num_held)
    for model, num_held in event.generating:
        replica = replicas.get(model)
        if replica is not None and replica.model_load is not None:
            replica.model_load.heard(num_held)
