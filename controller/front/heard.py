"""A heartbeat in the words of the cluster machine."""

from __future__ import annotations

from vocabulary.messages import GroupHeard
from workers.frames import Beat


def group_heard(group_index: int, beat: Beat, *, at_s: float) -> GroupHeard:
    """What it says of the requests of all front ends. at_s: when it came."""
    num_held = {replica.model: replica.num_held for replica in beat.replicas}
    generating = tuple((one.model, num_held.get(one.model, 0)) for one in beat.models)
    return GroupHeard(group_index, beat.backlog_s, sum(num_held.values()), at_s, generating)
