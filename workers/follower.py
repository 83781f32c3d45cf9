"""A process that runs the stages of one of a group's further hosts, for the process that leads the group."""

from __future__ import annotations

import hmac
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import final

import structlog
from msgspec import MsgspecError

from resharding.transport.host import HostTransport
from resharding.transport.interface import Channel
from workers.crossing import Crossing, blank_batch
from workers.follower_models import FollowerModels
from workers.loading import Loader
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
    Taken,
    refusal,
)
from workers.passages import Passage
from workers.spec import FollowerAddress, WorkerSpec
from workers.stage_line import InFlight, StageLine, trace_of
from workers.work_times import StageTime, StageTimes, earlier, followed_by

_log = structlog.get_logger("statmux.worker")


@final
class Follower:
    """`listen`, then `wait`: it ends when the leader is gone, or at `stop`. Called once each.

    place: of this process among those of the group; the leader's is 0. led: hears when it has a leader, and
    when that is gone.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        place: int,
        transport: HostTransport | None = None,
        led: Callable[[bool], None] = lambda is_led: None,
    ) -> None:
        self._spec = spec
        self._led = led
        self._place = place
        self._transport = transport or HostTransport(address=spec.host, timeout_s=spec.peer_timeout_s)
        self._listener: socket.socket | None = None
        self._link: NoteLink | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="follower", daemon=True)

    def listen(self) -> FollowerAddress:
        """Raises OSError for an address that is not this host's."""
        host = self._spec.host
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        self._thread.start()
        return FollowerAddress(host, self._listener.getsockname()[1], self._transport.endpoint())

    @property
    def orphan_grace_s(self) -> float:
        """How long a process of the group waits for who wants it."""
        return self._spec.orphan_grace_s

    def learn(self, spec: WorkerSpec) -> None:
        """The group is to have the models of this spec; when, the leader says."""
        self._spec = replace(spec, host=self._spec.host, key=self._spec.key)

    def wait(self) -> None:
        self._ended.wait()

    def stop(self) -> None:
        self._ended.set()
        if self._link is not None:
            self._link.close()
        if self._listener is not None:
            self._listener.close()
        if self._thread.is_alive():
            self._thread.join(self._spec.peer_timeout_s)
        self._transport.close()

    def _live(self) -> None:
        leader = None
        try:
            leader = self._leader()
            if leader is not None:
                self._led(True)
                self._follow(*leader)
        finally:
            self._ended.set()
            if leader is not None:
                self._led(False)

    def _leader(self) -> tuple[NoteLink, Join] | None:
        """Whoever proves to know the fleet's key first."""
        assert self._listener is not None
        while not self._ended.is_set():
            try:
                connected, _ = self._listener.accept()
            except OSError:
                continue  # Who called has hung up, or we are being stopped.
            link = NoteLink(connected)
            note = _first_note(link, within_s=self._spec.peer_timeout_s)
            if isinstance(note, Join) and hmac.compare_digest(note.key.encode(), self._spec.key.encode()):
                self._link = link
                return link, note
            link.close()
        return None

    def _follow(self, link: NoteLink, join: Join) -> None:
        heard_s = time.monotonic()
        loader = Loader(self._spec, place=self._place, transport=self._transport)
        try:
            channel = self._transport.open(join.endpoints, join.epoch)
            loader.read(expected=join.expected)
            link.send(Ready())
            note = link.next(within_s=None)
            if not isinstance(note, Prepare):
                return  # The leader is gone.
            loader.receive(note.multicasts)
            models = loader.compile()
        except Exception as error:
            _log.error("a follower did not load", group=self._spec.group.id, exception=trace_of(error))
            link.send(refusal(error))
        else:
            known = FollowerModels(models, loader, link, learned=lambda: self._spec)
            serving = _Serving(
                self._spec, self._place, link, channel, known, loader, clock_offset_s=heard_s - join.now_s
            )
            self._serve(link, serving)

    def _serve(self, link: NoteLink, serving: _Serving) -> None:
        link.send(Ready())
        beats = threading.Thread(target=self._beat, args=(link, serving), name="beats", daemon=True)
        beats.start()
        why = link.serve(serving.hear)
        _log.info("the leader is gone", group=self._spec.group.id, why=why)
        self._ended.set()
        serving.close()
        beats.join()

    def _beat(self, link: NoteLink, serving: _Serving) -> None:
        while not self._ended.wait(self._spec.peer_timeout_s / 8):
            link.send(serving.pulse())


def _first_note(link: NoteLink, *, within_s: float) -> Note | None:
    """None of who says nothing, or what is no note: anybody may call, and must not end this process."""
    try:
        return link.next(within_s=within_s)
    except (OSError, MsgspecError, UnicodeDecodeError):
        return None


@final
class _Serving:
    """Stages that run: batches are taken from the process before, and sent to the one after."""

    def __init__(
        self,
        spec: WorkerSpec,
        place: int,
        link: NoteLink,
        channel: Channel,
        models: FollowerModels,
        loader: Loader,
        *,
        clock_offset_s: float,
    ) -> None:
        """clock_offset_s: our clock less the leader's."""
        processes = spec.stages_of_processes
        self._clock_offset_s = clock_offset_s
        self._timeout_s = spec.peer_timeout_s
        self._link = link
        self._models = models
        self._loader = loader
        self._stages = processes[place]
        self._before, self._after = place - 1, (place + 1) % len(processes)
        self._channel = channel
        stage_devices = tuple(range(spec.group.config.tensor))
        self._inward = Crossing(channel, source=self._before, target=place, target_devices=stage_devices)
        self._outward = Crossing(
            channel,
            source=place,
            target=self._after,
            target_devices=stage_devices if self._after else (0,),
        )
        self._entrance = Passage(self._take, failed=self._lose, died=self._die, name="entrance")
        self._exit: Passage[InFlight] = Passage(self._send, failed=self._lose, died=self._die, name="exit")
        self._line = StageLine(
            self._stages,
            leave=self._exit.give,
            freed=lambda job: None,
            used=self._tell_taken,
            failed=self._fail,
            died=self._die,
        )

    def hear(self, note: Note) -> None:
        match note:
            case Coming():
                self._entrance.give(note)
            case Taken():
                self._exit.free()
            case More() | Prepare() | Drop():
                self._models.ask(note)
            case Give(multicasts):
                threading.Thread(
                    target=self._loader.give, args=(multicasts,), name="give", daemon=True
                ).start()
            case _:
                raise AssertionError(f"the leader sent {type(note).__name__}")

    def pulse(self) -> Pulse:
        return Pulse(self._line.stage_busy_s(), self._models.num_recompiles, self._loader.device_memory())

    def close(self) -> None:
        self._models.close()
        self._channel.abort()
        for one in (self._entrance, self._exit, self._line):
            one.close()
        for one in (self._entrance, self._exit):
            one.join(self._timeout_s)
        self._line.join()

    def _take(self, note: Coming) -> None:
        model = self._models[note.model]
        start_s = time.monotonic()
        parts = []
        for part in note.parts:
            batch = blank_batch(part, {})
            structs = model.structs(self._stages.start, batch.bucket)
            parts.append(blank_batch(part, self._inward.take(part, structs)))
        self._entrance.free()
        came = StageTime(self._stages.start, start_s, time.monotonic(), is_transfer=True)
        self._line.enter(InFlight(note, model, tuple(parts), None if note.times is None else (came,)))

    def _send(self, job: InFlight) -> None:
        parts = [job.model.sent(part) for part in job.parts]
        notes = self._outward.announced(parts)
        times = None if job.times is None else self._all_times(job.ticket, job.times)
        self._link.send(Coming(self._after, job.ticket.number, job.ticket.model, notes, times))
        self._outward.send(parts, notes)

    def _all_times(self, note: Coming, ours: StageTimes) -> StageTimes:
        """Those that came, and ours after them."""
        times = note.times or ()
        for one in earlier(ours, self._clock_offset_s):
            times = followed_by(times, one)
        return times

    def _tell_taken(self, job: InFlight) -> None:
        self._link.send(Taken(self._before))

    def _fail(self, job: InFlight, stage: int, error: Exception) -> None:
        ticket = job.ticket
        _log.error(
            "stage failed", stage=stage, model=ticket.model, batch=ticket.number, exception=trace_of(error)
        )
        self._link.send(Broken(job.ticket.number, f"{type(error).__name__} in stage {stage}"))

    def _die(self, error: Exception) -> None:
        """A thread of ours is gone: so is the group."""
        _log.error("a follower stands still", exception=trace_of(error))
        self._link.close()

    def _lose(self, job: object, error: Exception) -> None:
        """What cannot be carried ends the group: the leader hears it from the link that closes."""
        _log.error("activations did not arrive", why=str(error))
        self._link.close()
