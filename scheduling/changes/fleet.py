"""What is desired and what is there: the questions that decide which step is safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from scheduling.changes.lives import Hold, Life, Phase
from scheduling.changes.residency import Memory, StageBytes, room_for
from scheduling.changes.restarts import Restarts
from vocabulary.placement import Group, Placement


@final
class Fleet:
    """desired: groups by id. lives: processes that are there, by the group's id. devices: None: all.

    bridges: (group id, model) that serve there, undesired, while the model's desired replicas cannot.
    """

    def __init__(self, restarts: Restarts, memory: Memory) -> None:
        self.restarts = restarts
        self.memory = memory
        self.desired: dict[str, Group] = {}
        # Desired groups of every desired model.
        self._places: dict[str, list[Group]] = {}
        self.lives: dict[str, Life] = {}
        # Which process has a device, and by model, which have it in whatever way: fleets have thousands.
        self._at: dict[str, Life] = {}
        self._holders: dict[str, dict[str, Life]] = {}
        self.devices: frozenset[str] | None = None
        self.bridges: set[tuple[str, str]] = set()

    def desire(self, placement: Placement) -> None:
        """What was given up is tried again, and what has begun to leave may stay."""
        new = {group.id: group for group in placement.groups}
        self.restarts.try_again([one for one, group in self.desired.items() if new.get(one) != group])
        self.desired = new
        self._places = {}
        for group in placement.groups:
            for model in group.models:
                self._places.setdefault(model, []).append(group)
        self.bridges.clear()
        for life in self.lives.values():
            life.is_leaving = life.is_leaving and life.phase is Phase.STOPPING

    def is_desired(self, model: str) -> bool:
        """Whether any group is to serve it."""
        return model in self._places

    def target(self, life: Life) -> Group | None:
        """The desired group that this process can run."""
        group = self.desired.get(life.group.id)
        return group if group is not None and life.is_of(group) else None

    def is_wanted(self, life: Life, model: str) -> bool:
        """Whether the model is to be open there."""
        target = self.target(life)
        return (target is not None and model in target.models) or (life.group.id, model) in self.bridges

    def running(self) -> list[Life]:
        return [life for life in self.lives.values() if life.phase is Phase.RUNNING]

    def is_served(self, model: str, *, but: Life | None = None) -> bool:
        """Whether any process, but this one, serves it."""
        holders = self._holders.get(model, {})
        return any(life is not but and life.serves(model) for life in holders.values())

    # What was observed.

    def start_life(self, group: Group, phase: Phase) -> None:
        """A process of it starts, or runs with its models loaded."""
        hold = Hold.LOADING if phase is Phase.STARTING else Hold.LOADED
        # What cannot be known leaves no room for more.
        taken = self.memory.taken(group) or dict.fromkeys(group.models, self.memory.usable(group))
        self._drop(group.id)
        life = self.lives[group.id] = Life(group, phase, {}, {})
        self._at.update(dict.fromkeys(group.devices, life))
        self.hold(life, taken, hold)

    def hold(self, life: Life, taken: Mapping[str, StageBytes], hold: Hold) -> None:
        """Its process has these models, or will."""
        for model in taken:
            life.holds[model] = hold
            self._holders.setdefault(model, {})[life.group.id] = life
        life.taken.update(taken)

    def end_life(self, group_id: str) -> bool:
        """Its process is gone; whether that was planned, or does not matter."""
        life = self._drop(group_id)
        self.bridges = {bridge for bridge in self.bridges if bridge[0] != group_id}
        if life is None or life.is_leaving or life.phase is Phase.STOPPING:
            return True
        return self.target(life) is None

    def turn(self, group_id: str, models: Iterable[str], before: Hold, after: Hold) -> None:
        """Of those that are held so: news of others are old."""
        life = self.lives.get(group_id)
        for model in models:
            if life is not None and life.holds.get(model) is before:
                life.holds[model] = after

    def forget(self, group_id: str, models: Iterable[str]) -> None:
        """They are not resident there."""
        life = self.lives.get(group_id)
        for model in models:
            self.bridges.discard((group_id, model))
            if life is not None and life.holds.pop(model, None) is not None:
                del life.taken[model], self._holders[model][group_id]

    # Of a desired group that has no process.

    def blockers(self, group: Group) -> list[Life]:
        """Processes that have its devices or its id."""
        found = {self._at[device].group.id for device in group.devices if device in self._at}
        if group.id in self.lives:
            found.add(group.id)
        return [self.lives[group_id] for group_id in sorted(found)]

    def is_possible(self, group: Group) -> bool:
        """Whether it may ever start, as things are."""
        has_devices = self.devices is None or self.devices.issuperset(group.devices)
        return has_devices and not self.restarts.is_given_up((group.id, ""))

    def is_returning(self, group: Group) -> bool:
        """It starts, or will without anything else having to go."""
        life = self.lives.get(group.id)
        if life is not None and life.is_of(group) and life.phase is Phase.STARTING:
            return True
        return self.is_possible(group) and not self.blockers(group)

    # Of models to be added to a group that runs.

    def missing(self, life: Life) -> tuple[str, ...]:
        """Models that its desired group has, and it has not, but for what was given up."""
        target = self.target(life)
        return (
            ()
            if target is None
            else tuple(
                model
                for model in target.models
                if model not in life.holds and not self.restarts.is_given_up((life.group.id, model))
            )
        )

    def fitting(self, life: Life, models: Iterable[str]) -> Mapping[str, StageBytes]:
        """Those that can be loaded next to what is there now."""
        return room_for(models, life.group, life.taken, self.memory)

    def needs_restart(self, life: Life) -> bool:
        """Whether what is missing would not fit even if only what is desired stayed."""
        missing, target = self.missing(life), self.target(life)
        if not missing or target is None:
            return False
        staying = {model: taken for model, taken in life.taken.items() if model in target.models}
        return len(room_for(missing, life.group, staying, self.memory)) < len(missing)

    def lacks_room(self, life: Life) -> bool:
        """Whether something else has to go before all that is missing can be loaded."""
        missing = self.missing(life)
        return bool(missing) and len(self.fitting(life, missing)) < len(missing)

    # Of models.

    def is_up(self, model: str) -> bool:
        """Whether all its desired replicas serve, and will go on to, but for those that cannot be."""
        return all(
            self._is_settled(group, model) or not self._can_be(group, model)
            for group in self._places.get(model, ())
        )

    def is_needed(self, model: str) -> bool:
        """Whether replicas that are not desired serve on: desired ones do not, or not all of them yet."""
        places = self._places.get(model, ())
        return not self.is_up(model) or (
            bool(places) and not any(self._is_settled(group, model) for group in places)
        )

    def is_coming(self, model: str) -> bool:
        """Whether one more desired replica will serve without anything else having to go."""
        return any(self._is_coming(group, model) for group in self._places.get(model, ()))

    def endangered(self, life: Life, models: Iterable[str]) -> tuple[str, ...]:
        """Of these, the desired ones that are served by this process alone."""
        return tuple(
            model
            for model in models
            if model in self._places and life.serves(model) and not self.is_served(model, but=life)
        )

    def _drop(self, group_id: str) -> Life | None:
        life = self.lives.pop(group_id, None)
        if life is not None:
            for device in life.group.devices:
                if self._at.get(device) is life:
                    del self._at[device]
            for model in life.holds:
                del self._holders[model][group_id]
        return life

    def _life_of(self, group: Group) -> Life | None:
        life = self.lives.get(group.id)
        return life if life is not None and life.is_of(group) else None

    def _is_settled(self, group: Group, model: str) -> bool:
        life = self._life_of(group)
        return life is not None and life.serves(model) and not self.needs_restart(life)

    def _can_be(self, group: Group, model: str) -> bool:
        if self._life_of(group) is None:
            return self.is_possible(group)
        return not self.restarts.is_given_up((group.id, model))

    def _is_coming(self, group: Group, model: str) -> bool:
        life = self._life_of(group)
        if life is None or life.phase is Phase.STOPPING or life.is_leaving:
            if not self.is_possible(group):
                return False
            return all(one.is_leaving or one.phase is Phase.STOPPING for one in self.blockers(group))
        if life.phase is Phase.STARTING:
            return True
        hold = life.holds.get(model)
        if hold is not None:
            return hold is not Hold.OPEN
        if self.restarts.is_given_up((group.id, model)) or self.needs_restart(life):
            return False
        return model in self.fitting(life, self.missing(life))
