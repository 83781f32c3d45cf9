"""What machines hear (events, past tense) and say (commands, imperative). No payload travels here.

A simulated request is a dozen messages, so they are structs of msgspec: made in a seventh of a frozen
dataclass's time (docs/decisions/0006-messages-are-structs.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vocabulary.catalog import Catalog
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Group
from vocabulary.request import Fate, Request

# Events. The cluster machine hears Arrived, Cancelled, Begun, Settled, CatalogChanged, and of groups
# GroupAdded, GroupOpened, ReplicaOpened, ReplicaClosed, GroupHeard, GroupLost, GroupRemoved; a group machine
# hears Arrived, Cancelled, StageFreed, BatchFinished.


class Arrived(msgspec.Struct, frozen=True, gc=False):
    request: Request


class Cancelled(msgspec.Struct, frozen=True, gc=False):
    """The client went away or its deadline passed."""

    request_id: int


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A group is done with a request; `finish_s` is when its last stage ended."""

    request_id: int
    fate: Fate
    finish_s: float


class Begun(msgspec.Struct, frozen=True, gc=False):
    """A group has begun to work on these: they are not given to another if it is lost."""

    request_ids: tuple[int, ...]


class CatalogChanged(msgspec.Struct, frozen=True):
    """What models cost from now on. Replicas that are open keep what they were opened with."""

    catalog: Catalog


class GroupAdded(msgspec.Struct, frozen=True):
    """A group that was not there before, closed. Indices count up and none is given twice.

    limits: of its models that generate.
    """

    group_index: int
    group: Group
    limits: Mapping[str, GenerationLimits] = {}


class GroupOpened(msgspec.Struct, frozen=True, gc=False):
    """The group's models are loaded and warm; it takes requests from now on."""

    group_index: int


class ReplicaOpened(msgspec.Struct, frozen=True):
    """One model of an open group takes requests, new there or closed before.

    limits: if it generates; None of one that was there before: those that it had.
    """

    group_index: int
    model: str
    limits: GenerationLimits | None = None


class ReplicaClosed(msgspec.Struct, frozen=True, gc=False):
    """One model of a group takes no more requests; those it has run on."""

    group_index: int
    model: str


class GroupHeard(msgspec.Struct, frozen=True, gc=False):
    """What a group's heartbeat said of the requests of all front ends, at `at_s`.

    backlog_s: how long its busiest stage needs for what it holds; num_held: how many requests those are;
    generating: of each model there that generates, how many.
    """

    group_index: int
    backlog_s: float
    num_held: int
    at_s: float
    generating: tuple[tuple[str, int], ...] = ()


class GroupLost(msgspec.Struct, frozen=True, gc=False):
    """The group's process is gone, and with it every request it held. It may open again."""

    group_index: int


class GroupRemoved(msgspec.Struct, frozen=True, gc=False):
    """The group was stopped and does not come back."""

    group_index: int


class StageFreed(msgspec.Struct, frozen=True, gc=False):
    """The first stage can take the next batch."""


class BatchFinished(msgspec.Struct, frozen=True, gc=False):
    """A batch left the last stage; `failed` when the engine raised instead.

    Of a step of generation: stopped, the answers (request id, sample) that end with the token of this step,
    before their last one; full_pages: (request id, sample, index of the page, hash of the tokens up to its
    end) of pages of answers that this step has filled.
    """

    batch_id: int
    failed: bool = False
    stopped: tuple[tuple[int, int], ...] = ()
    full_pages: tuple[tuple[int, int, int, int], ...] = ()


# Commands. Forward, Withdraw and Reply are the cluster machine's; RunBatch, TellFirstToken and
# Settle a group machine's.


class Forward(msgspec.Struct, frozen=True, gc=False):
    request: Request
    group_index: int
    predicted_finish_s: float


class Withdraw(msgspec.Struct, frozen=True, gc=False):
    """Tell the group that nobody waits for the request any more."""

    request_id: int
    group_index: int


class Reply(msgspec.Struct, frozen=True, gc=False):
    """The one answer of a request. `group_index` is None if no group ever had it."""

    request_id: int
    fate: Fate
    group_index: int | None = None


class Slice(msgspec.Struct, frozen=True, gc=False):
    """What one sequence computes in a step: its tokens from `start`, `num_tokens` of them.

    sample: which of the request's answers. pages: of its cache, in order, enough for all tokens so far.
    num_outputs: how many tokens are drawn after its last one: 0 while a prompt goes on; at the end of a
    prompt as many as the request has samples, for samples 0, 1, ...; else 1.
    """

    request_id: int
    sample: int
    start: int
    num_tokens: int
    pages: tuple[int, ...]
    num_outputs: int


class PageMoves(msgspec.Struct, frozen=True, gc=False):
    """What happens to pages before a step, in this order: to the host, from the host, page to page.

    to_host: (page, host page); from_host: (host page, page); copies: (page, page), source and target.
    """

    to_host: tuple[tuple[int, int], ...] = ()
    from_host: tuple[tuple[int, int], ...] = ()
    copies: tuple[tuple[int, int], ...] = ()


NO_MOVES = PageMoves()


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Requests of one model that run together.

    Of a step of generation, tokens: how many each computes (a slice of a request is both); num_kv_tokens:
    those of all in the cache when it starts. Empty and 0 for one-shot requests. slices, moves: for engines
    that hold pages; empty for those that only take time.
    """

    id: int
    model: str
    requests: tuple[Request, ...]
    tokens: tuple[int, ...] = ()
    num_kv_tokens: int = 0
    slices: tuple[Slice, ...] = ()
    moves: PageMoves = NO_MOVES

    @property
    def size(self) -> int:
        return len(self.requests)


class RunBatch(msgspec.Struct, frozen=True, gc=False):
    batch: Batch


class Settle(msgspec.Struct, frozen=True, gc=False):
    """Tell the cluster that the group is done with these requests."""

    request_ids: tuple[int, ...]
    fate: Fate


class TellFirstToken(msgspec.Struct, frozen=True, gc=False):
    """Tell those who wait for these requests that their first token is there."""

    request_ids: tuple[int, ...]


ClusterEvent = (
    Arrived
    | Cancelled
    | Begun
    | Settled
    | CatalogChanged
    | GroupAdded
    | GroupOpened
    | ReplicaOpened
    | ReplicaClosed
    | GroupHeard
    | GroupLost
    | GroupRemoved
)
ClusterCommand = Forward | Withdraw | Reply
GroupEvent = Arrived | Cancelled | StageFreed | BatchFinished
GroupCommand = RunBatch | TellFirstToken | Settle
