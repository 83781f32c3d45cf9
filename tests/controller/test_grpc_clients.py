"""The clients that people have, each in a process of its own, against the endpoint."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.controller.grpc_fleet import serving, story_fleet

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "clients"


async def run_script(name: str, argument: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPTS / name),
        argument,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), timeout=120)
    assert process.returncode == 0, output.decode()[-4000:]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "script", ["triton_client.py", "kserve_client.py", "plain_client.py", "beside_triton.py"]
)
async def test_client_gets_answers_and_clear_refusals(script: str) -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        await run_script(script, address)
    assert fleet.in_flight == [], "a late request kept its place"


@pytest.mark.asyncio
@pytest.mark.parametrize("client", ["tritonclient", "kserve"])
async def test_messages_agree_with_what_the_client_ships(client: str) -> None:
    await run_script("descriptors.py", client)
