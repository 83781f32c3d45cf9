"""What a call is told: its outputs, or why there are none."""

from __future__ import annotations

from typing import final

from controller.calls import InferReply, Refusal
from controller.generations import Generations
from controller.group_table import GroupTable
from controller.pending import Answer, Pending
from controller.refusals import refusal
from controller.token_streams import Ended
from vocabulary.request import Fate, Request
from vocabulary.versions import parted
from workers.frames import Done


@final
class Answering:
    """Makes answers of fates and of what workers said."""

    def __init__(self, table: GroupTable, generations: Generations) -> None:
        self._table = table
        self._generations = generations

    def of(self, pending: Pending, fate: Fate, group_index: int | None, *, now_s: float) -> Answer:
        """The answer of a call that ended so."""
        done = pending.done
        if fate is Fate.SERVED and done is not None:
            return self._served(pending, done, self._table.id_of(group_index))
        return self.refusal(pending.request, fate, now_s=now_s, error=done.error if done is not None else "")

    def refusal(self, request: Request, fate: Fate, *, now_s: float, error: str = "") -> Refusal:
        """error: a worker's words."""
        limits = self._generations.limits_of(request.model)
        return refusal(request, fate, now_s=now_s, error=error, limits=limits)

    def _served(self, pending: Pending, done: Done, group_id: str) -> InferReply | Ended:
        queue_s = done.start_s - pending.request.arrival_s
        if pending.request.generates:
            return Ended(done.reasons, group_id, done.num_cached, queue_s)
        assert pending.frame is not None, done
        version = parted(pending.request.model)[1]
        return InferReply(pending.frame.tensors, group_id, queue_s, done.finish_s - done.start_s, version)
