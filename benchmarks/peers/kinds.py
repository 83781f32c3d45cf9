"""The peers by name, and all of them running at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import statmux_noop
from benchmarks.peers.ports import free_ports
from benchmarks.peers.process import Launch, Peer, start

IDLE_S = 3.0


def _echo(folder: Path) -> Launch:
    return _module("echo")


def _serve_haproxy(folder: Path) -> Launch:
    return _module("ray_serve", "--mode", "haproxy", "--folder", str(folder))


def _serve_default(folder: Path) -> Launch:
    return _module("ray_serve", "--mode", "default", "--folder", str(folder))


def _module(name: str, *words: str) -> Launch:
    port = free_ports(1)[0]
    command = [sys.executable, "-m", f"benchmarks.peers.{name}", "--port", str(port), *words]
    return Launch(port, command, num_errors=lambda: 0)


PEERS: dict[str, Callable[[Path], Launch]] = {
    "echo": _echo,
    "serve-haproxy": _serve_haproxy,
    "serve-default": _serve_default,
    "statmux": statmux_noop.launch,
    "statmux-2": partial(statmux_noop.launch, front_ends=2),
}
# What is started unless others are asked for.
USUAL = ("echo", "serve-haproxy", "serve-default", "statmux")


@contextmanager
def running(names: Sequence[str], *, say: Callable[[str], None]) -> Iterator[list[Peer]]:
    """All peers, each having answered once; all ended at exit. Raises StatmuxError."""
    # The sockets of Ray and HAProxy live below this folder; HAProxy's adds 70 bytes and may have 97.
    with (
        TemporaryDirectory(prefix="b-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        # One after the other: two clusters that start at once may choose the same free port.
        yield [_started(name, Path(folder, str(index)), stack, say) for index, name in enumerate(names)]


def _started(name: str, folder: Path, stack: ExitStack, say: Callable[[str], None]) -> Peer:
    start_s = time.monotonic()
    folder.mkdir()
    peer = start(name, PEERS[name](folder), folder)
    stack.callback(peer.stop)
    peer.wait_until_ready()
    say(f"{name} answers after {time.monotonic() - start_s:.1f} s")
    return peer


def idle_cores(peers: Sequence[Peer]) -> dict[str, float]:
    """Processor cores that each peer uses while nobody calls it."""
    before_s = [peer.cpu_s() for peer in peers]
    time.sleep(IDLE_S)
    return {peer.name: (peer.cpu_s() - was) / IDLE_S for peer, was in zip(peers, before_s, strict=True)}
