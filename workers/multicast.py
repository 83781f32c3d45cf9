"""Which groups have models' weights and which are to get them: what all their processes are told."""

from __future__ import annotations

from dataclasses import dataclass

from resharding.transport.endpoints import Endpoint
from vocabulary.placement import Group
from workers.spec import host_stages


@dataclass(frozen=True, slots=True)
class Replica:
    """A model on a group. endpoints: of the group's processes, in the order of their stages."""

    group: Group
    endpoints: tuple[Endpoint, ...]

    @property
    def stages_of_processes(self) -> tuple[range, ...]:
        return tuple(one.stages for one in host_stages(self.group))


@dataclass(frozen=True, slots=True)
class Multicast:
    """Some models from all groups that have them to all that need them, at once.

    epoch: never the same for the same processes again.
    """

    models: tuple[str, ...]
    sources: tuple[Replica, ...]
    targets: tuple[Replica, ...]
    epoch: int

    @property
    def members(self) -> tuple[Endpoint, ...]:
        """All processes: their places in the channel."""
        return tuple(endpoint for one in (*self.sources, *self.targets) for endpoint in one.endpoints)

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return ", ".join(one.group.id for one in self.sources)

    def involves(self, group: str) -> bool:
        return any(one.group.id == group for one in (*self.sources, *self.targets))

    def is_target(self, group: str) -> bool:
        return any(one.group.id == group for one in self.targets)


@dataclass(frozen=True, slots=True)
class Load:
    """How a model's weights came to a group. origin: "store", or the groups that had them.

    num_bytes: on the devices of the leader's process. seconds: until they were there; compile_s: from then
    until the model was ready. why: the store had to be read after all, in words.
    """

    model: str
    origin: str
    num_bytes: int
    seconds: float
    why: str = ""
    compile_s: float = 0.0


STORE = "store"
