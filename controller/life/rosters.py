"""What every front end of a fleet is told of its groups: added, opened, closed, lost, removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import final

from controller.life.group_cluster import Roster
from controller.life.members import GroupState, Member
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.page_budget import generation_limits


@final
class Rosters:
    """Tells all of them the same, and writes down in the member what they know."""

    def __init__(self, rosters: Sequence[Roster]) -> None:
        self._rosters = tuple(rosters)

    def open(self, member: Member, models: Collection[str], *, deployment: Deployment) -> None:
        """Requests of these models may go there, besides those that may already."""
        assert member.started is not None and member.link is not None, member
        new = [model for model in models if model not in member.models_open]
        if not new:
            return
        limits = generation_limits(member.group, deployment)
        interfaces = member.started.interfaces
        if not member.is_known:
            member.is_known = True
            for roster in self._rosters:
                roster.add_group(member.index, member.group, limits)
        # One that has closed its last replica is open all the same.
        if not member.models_open and member.state is not GroupState.CLOSING:
            self._open_group(member, new, limits)
        else:
            for model in new:
                for roster in self._rosters:
                    roster.open_replica(member.index, model, interfaces[model], limits.get(model))
        member.models_open.update(new)
        member.state = GroupState.OPEN

    def close(self, member: Member, model: str) -> None:
        """No more requests of the model go there."""
        if model in member.models_open:
            member.models_open.discard(model)
            for roster in self._rosters:
                roster.close_replica(member.index, model)

    def drop(self, member: Member, models: Collection[str]) -> None:
        """They are not resident there any more."""
        for model in models if member.is_known else ():
            for roster in self._rosters:
                roster.drop_replica(member.index, model)

    def give_up(self, models: Collection[str]) -> None:
        """They will not be loaded: whoever waits for them waits in vain."""
        for roster in self._rosters:
            roster.give_up(models)

    def adopt(self, deployment: Deployment) -> None:
        """Models and their costs are these from now on; before groups that hold new ones open."""
        for roster in self._rosters:
            roster.adopt(deployment)

    def lose(self, member: Member, why: str) -> None:
        """Its requests are given to others, or answered."""
        member.models_open.clear()
        if member.is_known:
            for roster in self._rosters:
                roster.lose_group(member.index, why)

    def remove(self, member: Member) -> None:
        """It does not come back under its index."""
        member.models_open.clear()
        if member.is_known:
            member.is_known = False
            for roster in self._rosters:
                roster.remove_group(member.index)

    def _open_group(
        self, member: Member, models: Collection[str], limits: Mapping[str, GenerationLimits]
    ) -> None:
        """A group opens with all of its models; what is not wanted open is closed in the same turn."""
        assert member.started is not None and member.link is not None, member
        for roster in self._rosters:
            roster.open_group(member.index, member.link, member.started.interfaces)
            for model in member.group.models:
                if model not in models:
                    roster.close_replica(member.index, model)
                else:  # it may have been closed when the group was lost
                    interface = member.started.interfaces[model]
                    roster.open_replica(member.index, model, interface, limits.get(model))
