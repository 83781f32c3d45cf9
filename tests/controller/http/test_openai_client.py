"""OpenAI's own client in a process of its own, against the endpoint."""

from __future__ import annotations

import pytest

from tests.controller.http.story import serving, story_fleet
from tests.controller.test_grpc_clients import run_script


@pytest.mark.asyncio
async def test_openais_client_gets_answers_and_clear_refusals() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        await run_script("openai_client.py", address)
    attempts = [call.model for call in fleet.calls]
    assert (attempts.count("late"), attempts.count("busy"), attempts.count("down")) == (1, 3, 3)
    assert fleet.open == []
