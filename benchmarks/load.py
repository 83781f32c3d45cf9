"""Closed-loop load on one gRPC method from h2load, a native client: one connection or several, no TLS.

h2load knows HTTP/2, not gRPC: it counts every HTTP 200 as a success, and a gRPC error is an HTTP 200 without
a body. So a run is accepted only if the bytes received are those of as many whole replies as it counted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vocabulary.errors import RuntimeFailure, TimedOut

_HEADERS = ("content-type: application/grpc", "te: trailers", "grpc-timeout: 10S")
_FRAME_PREFIX_BYTES = 5
_GRACE_S = 30.0
_COUNTS = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_BODY_BYTES = re.compile(r"\((\d+)\) data")


@dataclass(frozen=True, slots=True)
class Call:
    """What to send where: `path` is /package.Service/Method, reply_bytes the shortest right reply."""

    port: int
    path: str
    request: bytes
    reply_bytes: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One run at one number in flight."""

    num_in_flight: int
    num_replies: int
    rate_rps: float
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Counts:
    """h2load's own summary. body_bytes: of all replies, without HTTP/2 framing."""

    num_succeeded: int
    num_lost: int
    body_bytes: int


def find_h2load() -> str:
    """The program's path. Raises RuntimeFailure if it is not installed."""
    path = shutil.which("h2load")
    if path is None:
        raise RuntimeFailure(
            "h2load, the load generator, is not on the PATH",
            hint="apt-get install nghttp2-client (Debian, Ubuntu), or nghttp2 from your package manager",
        )
    return path


def run_load(call: Call, *, num_in_flight: int, seconds: float, num_connections: int = 1) -> Cell:
    """Keep `num_in_flight` calls open for `seconds`, as many on each connection.

    Raises StatmuxError unless all replies are right.
    """
    assert num_in_flight % num_connections == 0, (num_in_flight, num_connections)
    with TemporaryDirectory(prefix="h2load-") as folder:
        log = Path(folder, "log")
        streams = (num_connections, num_in_flight // num_connections)
        summary = _h2load(call, streams, seconds, body=Path(folder, "body"), log=log)
        latencies_s = latencies_of(log.read_text())
    check_counts(call, counts_of(summary), num_in_flight)
    p50_s, p99_s = np.percentile(latencies_s, (50, 99)).tolist()
    return Cell(num_in_flight, len(latencies_s), len(latencies_s) / seconds, p50_s, p99_s)


def latencies_of(log: str) -> np.ndarray:
    """Seconds per request from an h2load log: start in us, HTTP status, us until the end of the reply.

    Raises RuntimeFailure for an empty log or a status other than 200.
    """
    rows = np.array([line.split()[:3] for line in log.splitlines()], dtype=np.int64).reshape(-1, 3)
    if not len(rows):
        raise RuntimeFailure("not one reply came back", hint="give each cell more --seconds")
    refused = rows[rows[:, 1] != 200]
    if len(refused):
        raise RuntimeFailure(f"{len(refused)} of {len(rows)} replies had an HTTP status like {refused[0, 1]}")
    return rows[:, 2] / 1e6


def counts_of(summary: str) -> Counts:
    """What h2load printed at the end. Raises RuntimeFailure if it printed something else."""
    counts, body = _COUNTS.search(summary), _BODY_BYTES.search(summary)
    if counts is None or body is None:
        raise RuntimeFailure(f"h2load did not finish: {summary.strip()[-300:]}")
    succeeded, *lost = (int(count) for count in counts.groups())
    return Counts(succeeded, sum(lost), int(body[1]))


def _h2load(call: Call, streams: tuple[int, int], seconds: float, *, body: Path, log: Path) -> str:
    """streams: connections, and calls at once on each."""
    body.write_bytes(b"\0" + len(call.request).to_bytes(4, "big") + call.request)
    url = f"http://127.0.0.1:{call.port}{call.path}"
    command = [
        find_h2load(),
        "-c",
        str(streams[0]),
        "-t",
        "1",
        "-m",
        str(streams[1]),
        "-D",
        f"{round(seconds * 1e3)}ms",
    ]
    command += ["-d", str(body), "--log-file", str(log)]
    for header in _HEADERS:
        command += ["-H", header]
    try:
        done = subprocess.run(
            [*command, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds + _GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"h2load on port {call.port} did not end {_GRACE_S:.0f} s after its time") from error
    return done.stdout


def check_counts(call: Call, counts: Counts, num_in_flight: int) -> None:
    """Raises RuntimeFailure unless there was a whole reply to every request."""
    if counts.num_lost:
        raise RuntimeFailure(f"{counts.num_lost} requests to port {call.port} got no reply")
    whole_bytes = (call.reply_bytes + _FRAME_PREFIX_BYTES) * counts.num_succeeded
    if counts.body_bytes < whole_bytes:
        raise RuntimeFailure(
            f"port {call.port} at {num_in_flight} in flight: {counts.num_succeeded} replies hold "
            f"{counts.body_bytes} bytes, right ones hold {whole_bytes}; some were gRPC errors"
        )


def as_document(cell: Cell) -> Mapping[str, float]:
    """For JSON, in the units of the table."""
    return {
        "num_in_flight": cell.num_in_flight,
        "num_replies": cell.num_replies,
        "rate_rps": round(cell.rate_rps, 1),
        "p50_ms": round(cell.p50_s * 1e3, 4),
        "p99_ms": round(cell.p99_s * 1e3, 4),
    }
