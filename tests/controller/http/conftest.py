"""One endpoint and one client for all tests of a file: to stop uvicorn takes a tenth of a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
import pytest
import pytest_asyncio

from tests.controller.http.story import serving, story_fleet
from tests.controller.scripted_fleet import ScriptedFleet


@dataclass(frozen=True, slots=True)
class Served:
    """client: with the retries that it makes by itself."""

    fleet: ScriptedFleet
    client: openai.AsyncOpenAI


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    fleet = story_fleet()
    async with (
        serving(fleet) as address,
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client,
    ):
        yield Served(fleet, client)


@pytest.fixture
def fleet(served: Served) -> ScriptedFleet:
    """With nothing in its books."""
    for book in ("calls", "one_shot", "open", "cancelled", "turned_down"):
        setattr(served.fleet, book, [])
    return served.fleet
