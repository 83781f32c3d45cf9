"""Groups as reconciliation knows them: since when each is there, and how each of its models is held."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from scheduling.changes.residency import StageBytes
from vocabulary.placement import Group


class Phase(Enum):
    """Of a group: its process starts, runs, or is being stopped."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Hold(Enum):
    """Of a model on a group. LOADED: not opened since; CLOSED: its last requests run; IDLE: they are done."""

    LOADING = "loading"
    LOADED = "loaded"
    OPEN = "open"
    CLOSED = "closed"
    IDLE = "idle"
    UNLOADING = "unloading"


@dataclass(slots=True)
class Life:
    """One process of a group, from the step that starts it to its end.

    group: as it was started. taken: bytes on each device of each stage, of every model in `holds`. closed_s:
    when the closed ones were. is_leaving: it is to be stopped, and opens nothing any more. is_missed: it
    served something desired when it began to leave.
    """

    group: Group
    phase: Phase
    holds: dict[str, Hold]
    taken: dict[str, StageBytes]
    closed_s: dict[str, float] = field(default_factory=dict)
    is_leaving: bool = False
    is_missed: bool = False

    @property
    def is_busy(self) -> bool:
        """A worker loads, or unloads, one thing after the other."""
        return any(hold in (Hold.LOADING, Hold.UNLOADING) for hold in self.holds.values())

    @property
    def may_change(self) -> bool:
        """Whether models can be loaded and unloaded now."""
        return self.phase is Phase.RUNNING and not self.is_leaving and not self.is_busy

    def is_of(self, group: Group) -> bool:
        """Whether this process can run the group: models may come and go, the devices stay."""
        mine = self.group
        return (mine.id, mine.devices, mine.config) == (group.id, group.devices, group.config)

    def held(self, *holds: Hold) -> tuple[str, ...]:
        """Models that are held so, in the order in which they came."""
        return tuple(model for model, hold in self.holds.items() if hold in holds)

    def serves(self, model: str) -> bool:
        """Whether requests of the model go there, and go on to."""
        return self.phase is Phase.RUNNING and not self.is_leaving and self.holds.get(model) is Hold.OPEN
