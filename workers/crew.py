"""The followers of a group, as the process that leads it sees them: joined, sent batches, heard, given up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import final

import structlog

from resharding.transport.host import HostTransport
from resharding.transport.interface import Channel
from vocabulary.errors import RuntimeFailure
from workers.crossing import Crossing, blank_batch
from workers.device_memory import DeviceMemory
from workers.multicast import Multicast
from workers.notes import (
    Broken,
    Coming,
    Drop,
    Give,
    Join,
    More,
    Note,
    NoteLink,
    Prepare,
    Pulse,
    Ready,
    Refused,
    Taken,
)
from workers.padding import PaddedBatch
from workers.passages import Passage
from workers.spec import WorkerSpec, host_stages
from workers.stage_line import InFlight, trace_of
from workers.work_times import StageTime, StageTimes, followed_by

_log = structlog.get_logger("statmux.worker")
_EPOCH = 1

# The number of a batch, what came of it, and when the stages worked on it if somebody asks.
Arrived = Callable[[int, tuple[PaddedBatch, ...], StageTimes | None], None]


@final
class Crew:
    """`join`, `muster`, `prepare`, `start`, then `give` batches as they leave the leader's last stage.

    arrived: a batch is back with its results; broken: it failed, why in words; lost: a follower is gone, and
    so is the group, told once. All three are called on threads of the crew's.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        transport: HostTransport,
        arrived: Arrived,
        broken: Callable[[int, str], None],
        lost: Callable[[str], None],
    ) -> None:
        self._spec = spec
        self._hosts = [one.host for one in host_stages(spec.group)][1:]
        self._transport = transport
        self._arrived = arrived
        self._broken = broken
        self._lost = lost
        self._links: list[NoteLink] = []
        self._pulses: dict[int, Pulse] = {}
        self._threads: list[threading.Thread] = []
        self._is_over = threading.Lock()
        self._exit: Passage[InFlight] = Passage(
            self._send, failed=self._give_up_sending, died=self._give_up_carrying, name="exit"
        )
        self._entrance = Passage(
            self._take, failed=self._give_up_taking, died=self._give_up_carrying, name="entrance"
        )
        self._channel: Channel | None = None
        # Of each follower, what it says of models that come while it serves; None: it is gone.
        self._answers: list[SimpleQueue[Ready | Refused | None]] = [SimpleQueue() for _ in self._hosts]

    def join(self, *, expected: Sequence[str] = ()) -> None:
        """Ask every follower to read its weights, but for the `expected` models.

        Raises RuntimeFailure for one that is not there.
        """
        spec = self._spec
        endpoints = (self._transport.endpoint(), *(one.endpoint for one in spec.followers))
        self._channel = self._transport.open(endpoints, _EPOCH)
        for host, address in zip(self._hosts, spec.followers, strict=True):
            try:
                connected = socket.create_connection((address.host, address.port), spec.peer_timeout_s)
            except OSError as error:
                raise RuntimeFailure(
                    f"the process of group {spec.group.id} on host {host} does not answer at "
                    f"{address.host}:{address.port}: {error.strerror or error}",
                    hint="every port of its node must be reachable from the group's first host",
                ) from error
            self._links.append(NoteLink(connected))
            self._links[-1].send(Join(spec.key, endpoints, _EPOCH, tuple(expected), time.monotonic()))
        stage_devices = range(spec.group.config.tensor)
        self._outward = Crossing(self._channel, source=0, target=1, target_devices=stage_devices)
        self._inward = Crossing(self._channel, source=len(spec.followers), target=0, target_devices=(0,))

    def prepare(self, multicasts: Sequence[Multicast]) -> None:
        """Ask every follower to take part in these, and to compile."""
        self._tell_all(Prepare(tuple(multicasts)))

    def give_weights(self, multicasts: Sequence[Multicast]) -> None:
        """Ask every follower to do its part."""
        self._tell_all(Give(tuple(multicasts)))

    def read_more(self, models: Sequence[str], *, expected: Sequence[str]) -> None:
        """While all serve: ask every follower to read the weights of these models, but the `expected`."""
        self._tell_all(More(tuple(models), tuple(expected)))

    def drop(self, models: Sequence[str]) -> None:
        """While all serve: ask every follower to forget these models."""
        self._tell_all(Drop(tuple(models)))

    def muster_serving(self) -> None:
        """As `muster`, while all serve. All have answered when it raises what one raised."""
        answers = [answers.get() for answers in self._answers]
        if None in answers:
            self._tell_over()  # for whoever asks next
        for host, note in zip(self._hosts, answers, strict=True):
            if isinstance(note, Refused):
                raise note.error()
            if note is None:
                raise RuntimeFailure(f"host {host} of group {self._spec.group.id} is lost")

    def muster(self) -> None:
        """Until all have done what they were asked.

        Raises what one raised, or RuntimeFailure for one that died.
        """
        for host, link in zip(self._hosts, self._links, strict=True):
            try:
                note = link.next(within_s=None)
            except OSError:
                note = None
            if isinstance(note, Refused):
                raise note.error()
            if not isinstance(note, Ready):
                raise RuntimeFailure(
                    f"the process of group {self._spec.group.id} on host {host} died while it loaded",
                    hint="every node needs memory for its stages of the group's models",
                )

    def start(self) -> None:
        """From now on they are heard, and serve."""
        self._threads = [
            threading.Thread(target=self._hear, args=(number,), name=f"follower-{number + 1}", daemon=True)
            for number in range(len(self._links))
        ]
        for thread in self._threads:
            thread.start()

    def give(self, job: InFlight) -> None:
        """Blocks while two batches wait for the first follower's first stage."""
        self._exit.give(job)

    def stage_busy_s(self) -> tuple[float, ...]:
        """Of all followers' stages, as they last said."""
        processes = self._spec.stages_of_processes[1:]
        return tuple(
            busy_s
            for number, stages in enumerate(processes)
            for busy_s in (
                self._pulses[number].stage_busy_s if number in self._pulses else (0.0,) * len(stages)
            )
        )

    def device_memory(self) -> tuple[DeviceMemory, ...]:
        """Of the followers' devices, in their order, up to the first that has said nothing yet."""
        found: list[DeviceMemory] = []
        for number in range(len(self._hosts)):
            if number not in self._pulses:
                break
            found += self._pulses[number].devices
        return tuple(found)

    @property
    def num_recompiles(self) -> int:
        return sum(pulse.num_recompiles for pulse in self._pulses.values())

    def close(self) -> None:
        """The followers end when they hear no more of us."""
        self._is_over.acquire(blocking=False)
        self._end()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(self._spec.peer_timeout_s)

    def _end(self) -> None:
        for link in self._links:
            link.close()
        if self._channel is not None:
            self._channel.abort()
        self._exit.close()
        self._entrance.close()
        self._tell_over()

    def _tell_over(self) -> None:
        for answers in self._answers:
            answers.put(None)

    def _tell_all(self, note: Note) -> None:
        for link in self._links:
            link.send(note)

    def _hear(self, number: int) -> None:
        try:
            why = self._links[number].serve(
                lambda note: self._receive(number, note), silence_s=self._spec.peer_timeout_s
            )
        except Exception as error:
            _log.error("a note was not heeded", exception=trace_of(error))
            why = f"what it said was not heeded: {type(error).__name__}"
        self._give_up(self._hosts[number], why)

    def _receive(self, number: int, note: Note) -> None:
        match note:
            case Pulse():
                self._pulses[number] = note
            case Broken(batch, words):
                self._broken(batch, words)
            case Ready() | Refused():
                self._answers[number].put(note)
            case Coming(to=0):
                self._entrance.give(note)
            case Taken(to=0):
                self._exit.free()
            case Coming(to) | Taken(to):
                self._links[to - 1].send(note)
            case _:
                raise AssertionError(f"a follower sent {type(note).__name__}")

    def _send(self, job: InFlight) -> None:
        parts = [job.model.sent(part) for part in job.parts]
        notes = self._outward.announced(parts)
        self._links[0].send(Coming(1, job.ticket.batch.id, job.ticket.batch.model, notes, job.times))
        self._outward.send(parts, notes)

    def _take(self, note: Coming) -> None:
        start_s = time.monotonic()
        parts = tuple(blank_batch(part, self._inward.take_results(part)) for part in note.parts)
        times = note.times
        if times is not None:
            back = StageTime(self._spec.group.config.pipeline, start_s, time.monotonic(), is_transfer=True)
            times = followed_by(times, back)
        self._arrived(note.number, parts, times)
        self._entrance.free()
        self._links[-1].send(Taken(len(self._links)))

    def _give_up_sending(self, job: InFlight, error: Exception) -> None:
        _log.error("activations did not leave", why=str(error))
        self._give_up(self._hosts[0], "a transfer to it failed")

    def _give_up_taking(self, note: Coming, error: Exception) -> None:
        _log.error("results did not arrive", why=str(error))
        self._give_up(self._hosts[-1], "a transfer from it failed")

    def _give_up_carrying(self, error: Exception) -> None:
        _log.error("nothing is carried any more", exception=trace_of(error))
        self._give_up(self._hosts[0], f"nothing is carried to it any more: {type(error).__name__}")

    def _give_up(self, host: str, why: str) -> None:
        if self._is_over.acquire(blocking=False):
            _log.error("a host of the group is lost", group=self._spec.group.id, host=host, why=why)
            self._end()
            self._lost(f"host {host} of group {self._spec.group.id} is lost: {why}")
