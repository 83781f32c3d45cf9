"""A number by which two processes notice that they carry out different plans."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from resharding.planner import TransferPlan

# A tag is a plan's key and a message's place in it.
PLACE_BITS = 32


def plan_key(plan: TransferPlan) -> int:
    """32 bits of what is sent by whom, in which order; times do not count."""
    return zlib.crc32(np.fromiter(_numbers(plan), np.int64).tobytes())


def message_tag(key: int, place: int) -> int:
    """Of the message at `place`. Both ends compare tags, so a message of another plan is refused."""
    assert 0 <= place < 2**PLACE_BITS, place
    return key << PLACE_BITS | place


def _numbers(plan: TransferPlan) -> Iterator[int]:
    for one in plan.classes:
        yield from (len(one.senders), *one.senders, len(one.receivers), *one.receivers, len(one.pieces))
        for piece in one.pieces:
            yield from (piece.tensor, *piece.box.start, *piece.box.stop)
    for timed in plan.sends:
        send = timed.send
        yield from (send.chunk, send.from_host, send.to_host, len(send.segments))
        for segment in send.segments:
            yield from (segment.transfer_class, segment.start, segment.stop)
