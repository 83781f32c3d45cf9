"""Where a process is called and calls from: it lets in who has the key, and knows the epoch of each group."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, final

from resharding.transport.arena import HAS_SHARED_MEMORY
from resharding.transport.dialing import Call, Dialer
from resharding.transport.endpoints import KEY_BYTES, Endpoint, group_key
from resharding.transport.frames import Kind
from resharding.transport.links import Link, LinkLost
from vocabulary.errors import InvalidInput

_BACKLOG = 128


class Served(Protocol):
    """A channel that peers may call."""

    @property
    def call(self) -> Call: ...

    def take(self, link: Link, place: int) -> None:
        """Serve a link on which the member at `place` speaks, until it says goodbye. Raises LinkLost."""

    def abort(self) -> None: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=Served)


@final
class Exchange(Generic[C]):
    """One per transport. make: a channel for a call, known to nobody yet; for the rest see HostTransport."""

    def __init__(self, *, address: str, timeout_s: float, host: str, make: Callable[[Call], C]) -> None:
        assert timeout_s > 0, timeout_s
        self.dialer = Dialer(host=host, timeout_s=timeout_s)
        self._address = address
        self._timeout_s = timeout_s
        self._host = host
        self._make = make
        self._changed = threading.Condition()
        self._channels: dict[bytes, C] = {}
        self._links: set[Link] = set()
        self._listeners: list[socket.socket] = []
        self._endpoint: Endpoint | None = None
        self._is_closed = False

    @property
    def num_links(self) -> int:
        """On which others speak to this process."""
        return len(self._links)

    def endpoint(self) -> Endpoint:
        """Listens from the first call on."""
        with self._changed:
            if self._endpoint is None:
                self._endpoint = self._listen()
            return self._endpoint

    def open(self, group: tuple[Endpoint, ...], epoch: int) -> C:
        """Raises InvalidInput for an epoch that is over, or a group without this process."""
        if self.endpoint() not in group:
            raise InvalidInput(
                f"{self.endpoint()} is none of the {len(group)} members of the group",
                hint="open a group that has transport.endpoint() of every member",
            )
        key = group_key(group)
        with self._changed:
            assert not self._is_closed, "this transport is closed"
            older = self._channels.get(key)
            if older is not None and older.call.epoch == epoch:
                return older
            _check_epoch(older, epoch)
            channel = self._make(Call(group, group.index(self.endpoint()), epoch))
            self._channels[key] = channel
            self._changed.notify_all()
        if older is not None:
            older.abort()
        return channel

    def close(self) -> None:
        """Ends all channels, and hangs up."""
        with self._changed:
            self._is_closed = True
            channels, links = list(self._channels.values()), list(self._links)
            self._changed.notify_all()
        for channel in channels:
            channel.close()
        for listener in self._listeners:
            _shut(listener)
        self.dialer.close()
        for link in links:
            link.shut()

    def _listen(self) -> Endpoint:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        by_network = socket.socket(family, socket.SOCK_STREAM)
        by_network.bind((self._address, 0))
        self._listeners.append(by_network)
        local_name = f"statmux-{secrets.token_hex(16)}" if HAS_SHARED_MEMORY else ""
        if local_name:
            inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            inside.bind(f"\0{local_name}")
            self._listeners.append(inside)
        for listener in self._listeners:
            listener.listen(_BACKLOG)
            # With a time-out Python would ask again and again, busily, once the listener is shut.
            listener.setblocking(False)
        threading.Thread(target=self._accept, name="statmux-accept", daemon=True).start()
        port = by_network.getsockname()[1]
        return Endpoint(self._host, self._address, port, local_name, secrets.token_bytes(KEY_BYTES))

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ)
            while not self._is_closed:
                for key, _ in selector.select(self._timeout_s):
                    self._accept_one(key.fileobj)
        for listener in self._listeners:
            listener.close()

    def _accept_one(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return  # Who called has hung up again, or the transport is closed.
        link = Link(connected, timeout_s=self._timeout_s)
        with self._changed:
            self._links.add(link)
        threading.Thread(target=self._serve, args=(link,), name="statmux-inlet", daemon=True).start()

    def _serve(self, link: Link) -> None:
        """One channel after the other, as the peer asks for them; who asks for none is not kept."""
        is_known = False
        try:
            while not self._is_closed:
                if link.is_readable(within_s=self._timeout_s):
                    self._serve_channel(link)
                    is_known = True
                elif not is_known:
                    return
        except LinkLost:
            pass  # If a channel was on it, that has ended with the reason.
        finally:
            link.close()
            with self._changed:
                self._links.discard(link)

    def _serve_channel(self, link: Link) -> None:
        hello = link.read_frame()
        words = link.read_words(hello)
        if hello.kind is not Kind.HELLO or not hmac.compare_digest(words[:KEY_BYTES], self.endpoint().key):
            raise LinkLost("a caller that does not have the key of this endpoint")
        channel = self._awaited(words[KEY_BYTES:], hello.epoch)
        if isinstance(channel, str):
            link.say(Kind.REFUSED, epoch=hello.epoch, words=channel.encode())
            raise LinkLost(channel)
        if hello.tag >= len(channel.call.group) or hello.tag == channel.call.place:
            raise LinkLost(f"a caller that says to be member {hello.tag}")
        link.say(Kind.WELCOME, epoch=hello.epoch)
        channel.take(link, hello.tag)

    def _awaited(self, key: bytes, epoch: int) -> C | str:
        """The channel of this epoch, as soon as it is open here; else why there is none."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._epoch_of(key) >= epoch, timeout=self._timeout_s
            )
            known = self._epoch_of(key)
            if known == epoch:
                return self._channels[key]
        if known > epoch:
            return f"epoch {epoch} is over, the group is in epoch {known} here"
        return f"the group was not opened in epoch {epoch} here within {self._timeout_s:g} s"

    def _epoch_of(self, key: bytes) -> int:
        channel = self._channels.get(key)
        return channel.call.epoch if channel else -1


def _check_epoch(older: Served | None, epoch: int) -> None:
    if older is not None and older.call.epoch > epoch:
        message = f"the group was opened in epoch {older.call.epoch}, {epoch} is over"
        raise InvalidInput(message, hint="open it with a higher epoch")


def _shut(listener: socket.socket) -> None:
    # Who closes twice gets an error, and means nothing by it.
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
