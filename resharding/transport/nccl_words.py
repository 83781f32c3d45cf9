"""What members of an NCCL channel tell each other over links: who is ready for a transfer, who has it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from resharding.transport.frames import Frame, Kind, checksum_of
from resharding.transport.links import GaveUp, Link, LinkLost
from resharding.transport.nccl_circuits import FINGERPRINT_BYTES

_PLACE = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Word:
    """WANTED, STARTS or ARRIVED. chain: places in the group, the sender first; fingerprint: of a circuit.

    slice_bytes: after so many the sender's and the receivers' calls must meet.
    """

    kind: Kind
    chain: tuple[int, ...]
    tag: int
    num_bytes: int
    slice_bytes: int
    fingerprint: bytes


@final
class Speaker:
    """A link on which this process speaks. lost: the channel ends because of the peer."""

    def __init__(self, link: Link, *, epoch: int, lost: Callable[[LinkLost], None]) -> None:
        self.link = link
        self.is_answered = False
        self._epoch = epoch
        self._lost = lost
        self._listener = threading.Thread(target=self._listen, name="statmux-outlet", daemon=True)
        self._listener.start()

    def say(self, word: Word) -> None:
        """Raises LinkLost."""
        payload = word.fingerprint + b"".join(_PLACE.pack(place) for place in word.chain)
        checksum = checksum_of([payload])
        frame = Frame(
            word.kind, self._epoch, word.tag, word.slice_bytes, len(payload), word.num_bytes, checksum
        )
        self.link.send(frame, [payload])

    def say_goodbye(self) -> None:
        """Nothing more comes; `is_answered` then says whether the link may serve again. Raises LinkLost."""
        self.link.say(Kind.GOODBYE, epoch=self._epoch)
        self._listener.join(self.link.timeout_s)

    def listen_out(self, *, within_s: float) -> None:
        """A moment for the last words of a peer whose connection broke."""
        self._listener.join(within_s)

    def _listen(self) -> None:
        try:
            while not self.is_answered:
                found = _hear(self.link, self._epoch)
                self.is_answered = found is Kind.GOODBYE
                if isinstance(found, Word):
                    raise LinkLost(f"{found} makes no sense as an answer")
        except LinkLost as lost:
            self._lost(lost)
            self.link.close()


def listen(link: Link, *, epoch: int, post: Callable[[Word], None]) -> None:
    """Posts what the peer says until it says goodbye: then the link may serve again. Raises LinkLost."""
    while (found := _hear(link, epoch)) is not Kind.GOODBYE:
        if isinstance(found, Word):
            post(found)
    link.say(Kind.GOODBYE, epoch=epoch)


def _hear(link: Link, epoch: int) -> Word | Kind | None:
    """One frame, or None: a peer may be silent as long as it likes."""
    if not link.is_readable(within_s=link.timeout_s):
        return None
    frame = link.read_frame()
    words = link.read_words(frame)
    if frame.epoch != epoch:
        raise LinkLost(f"it speaks in epoch {frame.epoch}, this channel is of epoch {epoch}")
    match frame.kind:
        case Kind.WANTED | Kind.STARTS | Kind.ARRIVED if len(words) >= FINGERPRINT_BYTES:
            chain = tuple(place for (place,) in _PLACE.iter_unpack(words[FINGERPRINT_BYTES:]))
            fingerprint = words[:FINGERPRINT_BYTES]
            return Word(frame.kind, chain, frame.tag, frame.total_bytes, frame.offset, fingerprint)
        case Kind.GOODBYE:
            return Kind.GOODBYE
        case Kind.ABORT:
            raise GaveUp(words)
        case _:
            raise LinkLost(f"a frame of kind {frame.kind.name} makes no sense here")
