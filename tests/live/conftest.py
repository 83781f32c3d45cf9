"""The fleet that most live tests share: started once, and looked at closely when it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from statmux.client import Client
from tests.controller.ray_fleet import make_shadows
from tests.live.fleet_files import write_mixed_fleet
from tests.live.fleet_process import ServedFleet


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="live-") as path:
        yield Path(path)


@pytest.fixture
def serve() -> Iterator[Callable[..., ServedFleet]]:
    """Starts fleets that may end in any way; what a failed test leaves is killed."""
    with ExitStack() as stack:

        def start(*arguments: object, **settings: object) -> ServedFleet:
            fleet = ServedFleet(*arguments, **settings)
            stack.callback(fleet.kill)
            return fleet

        yield start


@pytest.fixture(scope="session")
def mixed() -> Iterator[ServedFleet]:
    """The mixed fleet, ready, in a folder where packages have our names.

    At the end it is stopped as a user would, and must leave nothing.
    """
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        fleet = ServedFleet(make_shadows(write_mixed_fleet(Path(path))))
        stack.callback(fleet.kill)
        fleet.until_ready()
        yield fleet
        stopped = fleet.run_verb("stop", "--wait", "-o", "json")
        assert stopped.returncode == 0, stopped.stderr
        assert fleet.wait() == 0, fleet.said
        fleet.check_clean_end()


@pytest.fixture(scope="session")
def address(mixed: ServedFleet) -> str:
    """host:port of the shared fleet's endpoint."""
    return mixed.ask("status")["endpoints"]["grpc"]


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """A client of the shared fleet."""
    with Client(address) as ours:
        yield ours
