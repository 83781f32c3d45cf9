"""What the fleet's process and a further front end say to each other, over a socket that only they hold."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from controller.journal import RequestLine
from controller.metrics import Judged
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Group
from workers.engine import ModelInterface
from workers.spec import Address

# To the front end. Groups are known by the index that the fleet's process gave them.


class Start(msgspec.Struct, frozen=True, tag=True):
    """First of all. deployment: with the ports that the fleet has in fact. front: a number that none had.

    index: 1, 2, ... of those that are there. key: of the data path to workers. control: where the fleet's
    process takes requests of operators.
    """

    deployment: Deployment
    front: int
    index: int
    key: str
    control: str


class AddGroup(msgspec.Struct, frozen=True, tag=True):
    group_index: int
    group: Group
    limits: Mapping[str, GenerationLimits]


class OpenGroup(msgspec.Struct, frozen=True, tag=True):
    """Its worker listens at `address`; its models take requests, but those that are `closed`."""

    group_index: int
    address: Address
    interfaces: Mapping[str, ModelInterface]
    closed: tuple[str, ...] = ()


class OpenReplica(msgspec.Struct, frozen=True, tag=True):
    group_index: int
    model: str
    interface: ModelInterface
    limits: GenerationLimits | None


class CloseReplica(msgspec.Struct, frozen=True, tag=True):
    group_index: int
    model: str


class DropReplica(msgspec.Struct, frozen=True, tag=True):
    group_index: int
    model: str


class LoseGroup(msgspec.Struct, frozen=True, tag=True):
    group_index: int
    why: str


class RemoveGroup(msgspec.Struct, frozen=True, tag=True):
    group_index: int


class GiveUp(msgspec.Struct, frozen=True, tag=True):
    """These models will not be loaded: calls that wait for them wait in vain."""

    models: tuple[str, ...]


class Close(msgspec.Struct, frozen=True, tag=True):
    """These models, and no others, were taken out of service."""

    models: tuple[str, ...]


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """Models, their objectives and costs are these from now on."""

    deployment: Deployment


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Readiness goes off."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """No new calls; `Idle` is the answer once all that were accepted are answered."""


# From the front end.


class Opened(msgspec.Struct, frozen=True, tag=True):
    """It answers; metrics: where its own are."""

    metrics: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It cannot answer, and ends."""

    message: str
    hint: str


class Troubled(msgspec.Struct, frozen=True, tag=True):
    """What it could not take over of the last change; "" if it took over all."""

    why: str


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """Of one model since the start."""

    num_served: int = 0
    num_failed: int = 0
    served_s: float = 0.0
    judged: Judged = Judged()

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.num_served + other.num_served,
            self.num_failed + other.num_failed,
            self.served_s + other.served_s,
            self.judged + other.judged,
        )


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """Every so often: calls that wait, totals by model, and lines for the journal since the last one."""

    num_pending: int
    totals: Mapping[str, Totals]
    lines: tuple[RequestLine, ...] = ()


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A call came for a model that is loaded on demand, and is not there."""

    model: str


class Idle(msgspec.Struct, frozen=True, tag=True):
    """All accepted calls are answered."""


GroupWord = AddGroup | OpenGroup | OpenReplica | CloseReplica | DropReplica | LoseGroup | RemoveGroup
ToFront = Start | GroupWord | GiveUp | Close | Adopt | Leave | Drain
FromFront = Opened | Failed | Troubled | Pulse | Asked | Idle
