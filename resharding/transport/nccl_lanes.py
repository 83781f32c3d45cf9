"""Transfers down one chain of members, one after the other: agreed upon in words, then done by a circuit."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import final

from resharding.transport.device_buffers import DeviceSpans
from resharding.transport.endpoints import Endpoint
from resharding.transport.frames import Kind
from resharding.transport.nccl_circuits import FINGERPRINT_BYTES, NO_FINGERPRINT, Circuit, Circuits, Gpu
from resharding.transport.nccl_library import Stretch
from resharding.transport.nccl_words import Word
from resharding.transport.rendezvous import Rendezvous
from resharding.transport.works import Transfer

# What a device would not let go of even when its communicator was aborted: its memory is never used again.
_STUCK: list[object] = []

DeviceTransfer = Transfer[DeviceSpans]


class LaneFailed(Exception):
    """Why no transfer can go on; `peer` is whose fault it is, as a place."""

    def __init__(self, why: str, *, peer: int) -> None:
        super().__init__(why)
        self.peer = peer


class _Stage(Enum):
    AGREEING = auto()
    CONNECTING = auto()
    STARTING = auto()
    MOVING = auto()


@final
class Lane:
    """In the thread of its channel. chain: places, the sender first; place: this member's; call: so
    that a member can be told something, which fails where nobody is; say: to whom what.

    The sender starts a transfer when all others have said that they want it, so nobody's device ever waits
    for a member that is not there yet. `step` raises LaneFailed, LinkLost, NcclFailure and CudaFailure.
    """

    def __init__(
        self,
        chain: tuple[int, ...],
        *,
        place: int,
        gpu: Gpu,
        endpoints: tuple[Endpoint, ...],
        circuits: Circuits,
        rendezvous: Rendezvous,
        call: Callable[[int], object],
        say: Callable[[int, Word], None],
        slice_bytes: int,
    ) -> None:
        self.chain = chain
        self._place = place
        self._rank = chain.index(place)
        self._gpu = gpu
        self._endpoints = endpoints
        self._circuits = circuits
        self._rendezvous = rendezvous
        self._call = call
        self._say = say
        self._slice_bytes = slice_bytes
        self._circuit = circuits.take(endpoints)
        self._is_agreed = False
        self._unique_id_key: str | None = None
        self._stage = _Stage.AGREEING
        self._waiting: deque[DeviceTransfer] = deque()
        self._current: DeviceTransfer | None = None
        self._next_byte = 0
        # Moved by this member, and not known yet to have arrived at all.
        self._leaving: deque[DeviceTransfer] = deque()
        self._heard: dict[tuple[int, Kind], deque[Word]] = {}

    @property
    def peers(self) -> tuple[int, ...]:
        return self.chain[1:] if self._rank == 0 else self.chain[:1]

    @property
    def current(self) -> DeviceTransfer | None:
        """What the device is at."""
        return self._current

    @property
    def is_blocked(self) -> bool:
        """By a transfer of another lane, or channel."""
        return bool(self._waiting) and not self._is_due(self._waiting[0])

    def wants_more_of(self, place: int) -> bool:
        return place in self.peers and bool(self._waiting or self._current or self._leaving)

    def push(self, work: DeviceTransfer) -> None:
        self._waiting.append(work)
        if self._rank == 0:
            for place in self.peers:
                self._call(place)
        else:
            fingerprint = self._circuit.fingerprint if self._circuit is not None else NO_FINGERPRINT
            self._tell(Kind.WANTED, work, fingerprint)

    def hear(self, place: int, word: Word) -> None:
        """Raises LaneFailed for what cannot be said to this member."""
        sense = {Kind.WANTED: self._rank == 0, Kind.STARTS: self._rank > 0, Kind.ARRIVED: True}
        if place not in self.peers or not sense[word.kind]:
            raise LaneFailed(
                f"it says {word.kind.name} of chain {self.chain}: that is not its part", peer=place
            )
        self._heard.setdefault((place, word.kind), deque()).append(word)

    def step(self) -> bool:
        """As far as it goes without waiting; whether that was any way at all."""
        is_moved = self._step_leaving()
        match self._stage:
            case _Stage.AGREEING:
                return self._agree() or is_moved
            case _Stage.CONNECTING:
                return self._connect() or is_moved
            case _Stage.STARTING:
                return self._start() or is_moved
            case _Stage.MOVING:
                return self._move() or is_moved

    def end(self, *, is_clean: bool) -> None:
        """A clean circuit serves again, any other is aborted: only then is memory given back."""
        circuit, self._circuit = self._circuit, None
        if circuit is not None and is_clean and circuit.fingerprint != NO_FINGERPRINT:
            self._circuits.keep(self._endpoints, circuit)
        elif circuit is not None and not circuit.end():
            _STUCK.append((circuit, self._current))
        if self._current is not None:
            self._current.let_go()
        self._forget_invitation()

    def _is_due(self, work: DeviceTransfer) -> bool:
        return all(one.is_done for one in work.upstream)

    def _agree(self) -> bool:
        if not self._waiting or not self._is_due(self._waiting[0]):
            return False
        words = self._first_words(Kind.WANTED if self._rank == 0 else Kind.STARTS)
        if words is None:
            return False
        work = self._waiting.popleft()
        for place, word in words.items():
            self._check(word, work, place)
        if not work.hold():
            return False  # The channel has ended: its thread finds out next.
        self._current, self._next_byte = work, 0
        if work.spans.num_bytes:
            self._meet([word.fingerprint for word in words.values()])
        if self._rank == 0:
            self._tell(Kind.STARTS, work, self._fingerprint())
        self._stage = _Stage.CONNECTING
        return True

    def _meet(self, fingerprints: list[bytes]) -> None:
        """Once a lane: on the circuit that all have still, or on a new one. The sender says which."""
        if self._is_agreed:
            return
        self._is_agreed = True
        if self._circuit is not None and set(fingerprints) == {self._circuit.fingerprint}:
            return
        if self._circuit is not None:
            self._circuit.end()
        self._circuit = Circuit(self._gpu, rank=self._rank, num_ranks=len(self.chain))
        self._circuit.connect(*(self._invite() if self._rank == 0 else self._invited(fingerprints[0])))

    def _invite(self) -> tuple[bytes, bytes]:
        """A unique id, left where the others find it, and the fingerprint by which they do."""
        unique_id, fingerprint = self._gpu.nccl.new_unique_id(), secrets.token_bytes(FINGERPRINT_BYTES)
        self._unique_id_key = _key(fingerprint)
        self._rendezvous.put(self._unique_id_key, unique_id)
        return unique_id, fingerprint

    def _invited(self, fingerprint: bytes) -> tuple[bytes, bytes]:
        unique_id = self._rendezvous.get(_key(fingerprint))
        if unique_id is None:
            raise LaneFailed("its unique id is not at the rendezvous", peer=self.chain[0])
        return unique_id, fingerprint

    def _connect(self) -> bool:
        if self._next_byte == self._work.spans.num_bytes:
            self._finish()
            return True
        assert self._circuit is not None
        if not self._circuit.is_ready():
            return False
        self._forget_invitation()
        self._circuit.start(self._slice())
        self._stage = _Stage.STARTING
        return True

    def _start(self) -> bool:
        assert self._circuit is not None
        if not self._circuit.is_ready():
            return False
        self._circuit.finish(self._slice())
        self._stage = _Stage.MOVING
        return True

    def _move(self) -> bool:
        assert self._circuit is not None
        if not self._circuit.has_arrived():
            return False
        self._next_byte = min(self._next_byte + self._slice_bytes, self._work.spans.num_bytes)
        self._work.advance(self._next_byte)
        self._stage = _Stage.CONNECTING
        return True

    def _finish(self) -> None:
        """As far as this member goes: the sender hears from the others, and tells a chain when all have."""
        work = self._work
        work.let_go()
        self._current, self._stage = None, _Stage.AGREEING
        if self._rank > 0:
            self._tell(Kind.ARRIVED, work, self._fingerprint())
        if self._rank > 0 and len(self.chain) == 2:
            work.advance(work.spans.num_bytes, is_done=True)
        else:
            self._leaving.append(work)

    def _step_leaving(self) -> bool:
        if not self._leaving:
            return False
        words = self._first_words(Kind.ARRIVED)
        if words is None:
            return False
        work = self._leaving.popleft()
        for place, word in words.items():
            self._check(word, work, place)
        if self._rank == 0 and len(self.chain) > 2:
            self._tell(Kind.ARRIVED, work, self._fingerprint())
        work.advance(work.spans.num_bytes, is_done=True)
        return True

    def _forget_invitation(self) -> None:
        """All have come: nobody asks for the unique id any more."""
        if self._unique_id_key is not None:
            self._rendezvous.drop(self._unique_id_key)
            self._unique_id_key = None

    def _first_words(self, kind: Kind) -> dict[int, Word] | None:
        """Of every peer the next, once all have said it."""
        heard = [self._heard.get((place, kind)) for place in self.peers]
        if not all(heard):
            return None
        return {place: words.popleft() for place, words in zip(self.peers, heard, strict=True) if words}

    def _check(self, word: Word, work: DeviceTransfer, place: int) -> None:
        if word.slice_bytes != self._slice_bytes:
            sizes = f"{word.slice_bytes} bytes, this member of {self._slice_bytes}"
            raise LaneFailed(f"it moves slices of {sizes}: slice_bytes must be the same at all", peer=place)
        if (word.tag, word.num_bytes) != (work.tag, work.spans.num_bytes):
            theirs, ours = ("wants", "is sent") if self._rank == 0 else ("sends", "is wanted")
            raise LaneFailed(
                f"it {theirs} transfer {word.tag} of {word.num_bytes} bytes where transfer {work.tag} of "
                f"{work.spans.num_bytes} bytes {ours}: both ends must issue the same transfers (of the same "
                "plan) in one order",
                peer=place,
            )

    def _tell(self, kind: Kind, work: DeviceTransfer, fingerprint: bytes) -> None:
        word = Word(kind, self.chain, work.tag, work.spans.num_bytes, self._slice_bytes, fingerprint)
        for place in self.peers:
            self._say(place, word)

    def _fingerprint(self) -> bytes:
        return self._circuit.fingerprint if self._circuit is not None else NO_FINGERPRINT

    def _slice(self) -> list[Stretch]:
        stop = min(self._next_byte + self._slice_bytes, self._work.spans.num_bytes)
        return self._work.spans.cut(self._next_byte, stop)

    @property
    def _work(self) -> DeviceTransfer:
        assert self._current is not None
        return self._current


def _key(fingerprint: bytes) -> str:
    return f"statmux/nccl/{fingerprint.hex()}"
