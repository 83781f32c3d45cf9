"""The REST clients that people have for v2, each in a process of its own, against the endpoint."""

from __future__ import annotations

import pytest

from controller.grpc_v2.server import start_grpc
from controller.http.server import start_http
from controller.http.v2 import v2_routes
from tests.controller.grpc_fleet import story_fleet
from tests.controller.http import story as http_story
from tests.controller.test_grpc_clients import run_script


@pytest.mark.asyncio
@pytest.mark.parametrize("script", ["triton_http_client.py", "kserve_rest_client.py"])
async def test_client_gets_answers_and_clear_refusals(script: str) -> None:
    fleet = story_fleet()
    running = await start_http(fleet, {}, port=0, routing=[v2_routes])
    try:
        await run_script(script, f"127.0.0.1:{running.port}")
    finally:
        await running.stop(0.0)
    assert fleet.in_flight == [], "a late request kept its place"


@pytest.mark.asyncio
async def test_tritonclient_gets_text_whole_and_streamed_over_grpc_and_http() -> None:
    fleet = http_story.story_fleet()
    grpc = await start_grpc(fleet, port=0, texts=http_story.story_texts())
    http = await start_http(fleet, http_story.story_texts(), port=0, routing=[v2_routes])
    try:
        await run_script("triton_text_client.py", f"127.0.0.1:{grpc.port},127.0.0.1:{http.port}")
        await fleet.until(lambda: not fleet.open)
    finally:
        await http.stop(0.0)
        await grpc.stop(0.0)
