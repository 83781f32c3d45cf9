"""`bench` against a fleet that asks for a token: with it all is answered, without it nothing."""

from __future__ import annotations

import numpy as np
import pytest

from controller.grpc_v2.echo_fleet import echo_view
from controller.grpc_v2.server import start_grpc
from controller.tenants import tenants_of
from statmux.replay import Load, replay
from tests.controller.scripted_fleet import ScriptedFleet, generating_view, saying
from vocabulary.deployment import Slo
from vocabulary.security import Security, TokenSpec
from vocabulary.tensors import TensorSpec
from vocabulary.trace import Tokens, Trace

SECURITY = Security(auth="token", tokens=(TokenSpec("load", "load", secret_env="LOAD", is_trusted=True),))


@pytest.mark.asyncio
@pytest.mark.parametrize(("token", "num_served"), [("one", 2), (None, 0)])
async def test_token_is_shown_by_requests_of_both_kinds(token: str | None, num_served: int) -> None:
    views = [generating_view("chat"), echo_view("echo", TensorSpec("x", "FP32", (-1,)))]
    fleet = ScriptedFleet(views, scripts={"chat": saying(7, 8)})
    tokens = Tokens(np.array([4, 0], np.int32), np.array([2, 0], np.int32))
    trace = Trace(np.array([0.0, 0.001]), np.array([0, 1], np.int32), ("chat", "echo"), tokens)
    inputs = {"echo": {"x": np.ones(2, np.float32)}}
    load = Load(trace, inputs, {"chat": Slo(), "echo": Slo()}, generating=frozenset({"chat"}))
    tenants = tenants_of(SECURITY, folder=".", environment={"LOAD": "one"})
    endpoint = await start_grpc(fleet, port=0, tenants=tenants)
    address = f"127.0.0.1:{endpoint.port}"
    replayed = await replay(address, load, groups=[], progress=lambda done, total: None, token=token)
    await endpoint.stop(0.0)
    assert len(fleet.calls) + len(fleet.one_shot) == num_served
    assert sum(replayed.errors.values()) == 2 - num_served
    assert {call.tenant for call in (*fleet.calls, *fleet.one_shot)} == ({"load"} if num_served else set())
