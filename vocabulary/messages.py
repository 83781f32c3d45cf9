"""What machines hear (events, past tense) and say (commands, imperative). No payload travels here."""

from __future__ import annotations

from dataclasses import dataclass

from vocabulary.request import Fate, Request

# Events. The cluster machine hears Arrived, Cancelled, Settled, GroupOpened, GroupLost;
# a group machine hears Arrived, Cancelled, StageFreed, BatchFinished.


@dataclass(frozen=True, slots=True)
class Arrived:
    request: Request


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The client went away or its deadline passed."""

    request_id: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A group is done with a request; `finish_s` is when its last stage ended."""

    request_id: int
    fate: Fate
    finish_s: float


@dataclass(frozen=True, slots=True)
class GroupOpened:
    """The group's models are loaded and warm; it takes requests from now on."""

    group_index: int


@dataclass(frozen=True, slots=True)
class GroupLost:
    """The group's process is gone, and with it every request it held."""

    group_index: int


@dataclass(frozen=True, slots=True)
class StageFreed:
    """The first stage can take the next batch."""


@dataclass(frozen=True, slots=True)
class BatchFinished:
    """A batch left the last stage; `failed` when the engine raised instead."""

    batch_id: int
    failed: bool = False


# Commands. Forward, Withdraw and Reply are the cluster machine's; RunBatch and Settle a group machine's.


@dataclass(frozen=True, slots=True)
class Forward:
    request: Request
    group_index: int
    predicted_finish_s: float


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Tell the group that nobody waits for the request any more."""

    request_id: int
    group_index: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The one answer of a request. `group_index` is None if no group ever had it."""

    request_id: int
    fate: Fate
    group_index: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests of one model that run together; a slice of a request is (request, num_tokens)."""

    id: int
    model: str
    requests: tuple[Request, ...]

    @property
    def size(self) -> int:
        return len(self.requests)


@dataclass(frozen=True, slots=True)
class RunBatch:
    batch: Batch


@dataclass(frozen=True, slots=True)
class Settle:
    """Tell the cluster that the group is done with these requests."""

    request_ids: tuple[int, ...]
    fate: Fate


ClusterEvent = Arrived | Cancelled | Settled | GroupOpened | GroupLost
ClusterCommand = Forward | Withdraw | Reply
GroupEvent = Arrived | Cancelled | StageFreed | BatchFinished
GroupCommand = RunBatch | Settle
