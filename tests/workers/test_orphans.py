"""A process that nobody wants ends itself, once, and not while somebody holds on to it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.workers.emulated_group import KEY, spec_of
from tests.workers.group_visits import visit
from workers.host import WorkerHost
from workers.orphans import OrphanWatch

PATIENCE_S = 60.0


def test_who_is_never_wanted_is_an_orphan_after_its_grace():
    orphaned = threading.Event()
    OrphanWatch(orphaned.set, grace_s=0.01)
    assert orphaned.wait(PATIENCE_S)


def test_nobody_is_an_orphan_while_held_and_the_grace_begins_again_afterwards():
    calls: list[str] = []
    orphaned = threading.Event()

    def end() -> None:
        calls.append("ended")
        orphaned.set()

    watch = OrphanWatch(end, grace_s=0.01)
    watch.hold()
    with watch.held():
        watch.wait_for(0.02)
    before = list(calls)
    watch.release()
    assert orphaned.wait(PATIENCE_S)
    assert len(before) <= 1  # The first grace may have passed before it was held.
    assert calls == ["ended"]


@pytest.mark.parametrize("grace_s", [float("inf"), 3600.0])
def test_a_watch_that_is_closed_leaves_no_timer(grace_s: float):
    num_threads = threading.active_count()
    watch = OrphanWatch(lambda: None, grace_s=grace_s)
    watch.close()
    watch.hold()
    watch.release()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(PATIENCE_S)
    assert threading.active_count() <= num_threads


@pytest.mark.asyncio
async def test_a_host_says_when_its_first_front_end_comes_and_when_its_last_has_gone(tmp_path: Path):
    news: list[bool] = []
    gone = threading.Event()

    def linked(is_linked: bool) -> None:
        news.append(is_linked)
        if not is_linked:
            gone.set()

    host = WorkerHost(spec_of(tmp_path, {"m": (0.001, 0.001)}), linked=linked)
    try:
        host.start()
        async with visit(host.address, KEY, front=1) as one:
            await one.answer(1)
            async with visit(host.address, KEY, front=2) as other:
                await other.answer(2)
            async with visit(host.address, "a guess", front=3) as stranger:
                await stranger.loss()
            assert (await one.answer(3)).header.fate == "served"
            assert news == [True]
        assert await asyncio.to_thread(gone.wait, PATIENCE_S)
        assert news == [True, False]
    finally:
        host.stop()


ORPHAN = """
import sys, threading
from pathlib import Path
from tests.workers.emulated_group import spec_of
from workers.host import WorkerHost
from workers.orphans import OrphanWatch, end_orphaned

folder = Path(sys.argv[1])
host = WorkerHost(spec_of(folder, {"m": (0.001, 0.001)}))
path = host.start().socket_path
assert Path(path).exists()
print("up", flush=True)


def end():
    end_orphaned(host.stop, socket_path=path, give_back=lambda: print("given back", flush=True))


OrphanWatch(end, grace_s=0.2)
threading.Event().wait()
"""


def test_an_orphan_takes_its_socket_and_folder_along_and_gives_back_what_is_its_own(tmp_path: Path):
    folder = tmp_path / "sockets"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert {"up", "given back"} <= set(ended.stdout.splitlines())
    assert not folder.exists()
