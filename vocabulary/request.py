"""A request as the scheduler knows it: no payload, only what decisions need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vocabulary.units import NEVER_NS


class Fate(Enum):
    """How a request ended. The value is the `reason` of outcome files and of rejections."""

    SERVED = "served"
    SLO_INFEASIBLE = "slo_infeasible"  # refused at admission: predicted to finish late
    QUEUE_FULL = "queue_full"
    NOT_PLACED = "not_placed"  # no group holds the model
    UNAVAILABLE = "unavailable"  # the groups that hold it are loading or lost
    DEADLINE_EXCEEDED = "deadline_exceeded"  # accepted, then too late to be worth starting
    CANCELLED = "cancelled"
    FAILED = "failed"  # the worker answered with an error or died


@dataclass(frozen=True, slots=True)
class Request:
    """`id` orders ties (lower first). A one-shot request is one slice of one token.

    deadline_ns: the client does not wait past it; slo_ns: the latency objective from arrival.
    """

    id: int
    model: str
    arrival_ns: int
    slo_ns: int = NEVER_NS
    deadline_ns: int = NEVER_NS
    num_tokens: int = 1

    @property
    def due_ns(self) -> int:
        """The earlier of the SLO and the client's deadline, as a time."""
        return min(self.arrival_ns + self.slo_ns, self.deadline_ns)
