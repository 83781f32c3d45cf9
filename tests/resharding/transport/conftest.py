"""The transports that tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.resharding.transport.fake_nccl import compiled
from tests.resharding.transport.rigs import Medium, why_not


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the fake NCCL in it, and room for what it and a rendezvous leave there."""
    return tmp_path_factory.mktemp("transport")


@pytest.fixture(scope="session")
def ready(folder: Path):
    """Skips a test, saying why, whose medium is not to be had here."""

    def check(medium: Medium) -> None:
        reason = compiled(folder) if medium is Medium.FAKE_NCCL else why_not(medium)
        if reason is not None:
            pytest.skip(reason)

    return check
