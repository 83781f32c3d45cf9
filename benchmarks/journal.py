"""What a line of the journal costs: on the thread that serves, on the one that writes, on the disk, to find.

    python -m benchmarks.journal --lines 1000000

Times are CPU times of threads, so that what else runs on the machine counts little; finding is by the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.tables import markdown, table
from controller.journal import Journal, RequestLine
from controller.journal.explanation import explanation
from controller.journal.read import JournalFile

# What a front end answers in a quarter of a second at 4,000 requests a second.
BURST = 1000
# Of finding one request among all.
NUM_FOUND = 20


@dataclass(frozen=True, slots=True)
class Costs:
    """serve_s, write_s: of one line, on the thread that serves and on the one that writes."""

    num_lines: int
    num_lost: int
    serve_s: float
    write_s: float
    disk_bytes: float
    explain_s: float


def measure(num_lines: int, folder: Path) -> Costs:
    """Lines in bursts, each as long as the disk needs for the one before."""
    path = folder / "journal.db"
    journal = Journal(path, max_rows=num_lines)
    journal.open()
    process_s, serve_s = time.process_time(), 0.0
    for start in range(0, num_lines, BURST):
        begin_s = time.thread_time()
        ids = [_id(index) for index in range(start, min(start + BURST, num_lines))]
        process_s += (made_s := time.thread_time()) - begin_s
        for request_id in ids:
            journal.request(_line(request_id))
        serve_s += time.thread_time() - made_s
        # Whoever remembers something waits until all before it is on the disk, too.
        journal.remember("here", start).result()
    journal.close()
    all_s = time.process_time() - process_s
    num_bytes = sum(each.stat().st_size for each in folder.iterdir())
    found_s = _seconds(lambda: [explanation(JournalFile(path), _id(index)) for index in range(NUM_FOUND)])
    return Costs(
        num_lines,
        journal.num_lost,
        serve_s / num_lines,
        (all_s - serve_s) / num_lines,
        num_bytes / num_lines,
        found_s / NUM_FOUND,
    )


def _line(request_id: str) -> RequestLine:
    """As `controller.request_lines` makes them."""
    return RequestLine(
        request_id,
        "llama-tiny",
        1.8e9,
        0.0421,
        "served",
        "",
        "app",
        "g0",
        0.04,
        0.1,
        None,
        0.002,
        1,
        "grpc_v2",
    )


def _id(index: int) -> str:
    """As clients make them: in no order that an index could use."""
    return str(UUID(int=index * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


def _seconds(act: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    act()
    return time.perf_counter() - begin_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    with tempfile.TemporaryDirectory(prefix="journal-") as folder:
        costs = measure(lines, Path(folder))
    assert threading.active_count() == 1, threading.enumerate()
    rows = (
        ("on the serving thread, a line", f"{costs.serve_s * 1e6:.2f} us"),
        ("on the writing thread, a line", f"{costs.write_s * 1e6:.2f} us"),
        ("on the disk, a line", f"{costs.disk_bytes:.0f} B"),
        ("to explain one", f"{costs.explain_s * 1e3:.2f} ms"),
    )
    title = f"{costs.num_lines} lines, {costs.num_lost} lost"
    print(markdown(table(("what", "costs"), rows, title=title)))


if __name__ == "__main__":
    main()
