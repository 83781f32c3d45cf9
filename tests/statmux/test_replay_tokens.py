"""Replaying requests for tokens: what is sent, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from controller.calls import Reason, Refusal
from controller.grpc_v2.server import start_grpc
from controller.tenants import Tenants as Tenancy
from controller.token_streams import Ended, GenerateCall, News
from statmux.replay import Load, Replayed, replay
from statmux.token_calls import prompts_of
from tests.controller.grpc_fleet import serving
from tests.controller.scripted_fleet import ScriptedFleet, generating_view
from vocabulary.deployment import Slo
from vocabulary.outcomes import FATES, NO_GROUP
from vocabulary.request import Fate
from vocabulary.sampling import LENGTH, SampledToken
from vocabulary.trace import Tenants, Tokens, Trace


def said(call: GenerateCall) -> Iterator[News]:
    """As many tokens as were asked for, a step each."""
    for _ in range(call.max_tokens):
        yield (SampledToken(0, 0, 7),)
    yield Ended((LENGTH,), "g1", 0, 0.25)


def refused(call: GenerateCall) -> Iterator[News]:
    yield Refusal(Reason.SLO_INFEASIBLE, "too late")


def fleet() -> ScriptedFleet:
    views = [generating_view(name) for name in ("chat", "busy")]
    return ScriptedFleet(views, scripts={"chat": said, "busy": refused})


def load(**more: object) -> Load:
    """Two requests to chat, one to busy."""
    trace = Trace(
        np.array([0.0, 0.001, 0.002]),
        np.array([0, 0, 1], np.int32),
        ("chat", "busy"),
        Tokens(np.array([4, 9, 3], np.int32), np.array([3, 1, 2], np.int32)),
        more.pop("tenants", None),
    )
    slos = {"chat": Slo(60.0, ttft_s=30.0, tpot_s=10.0), "busy": Slo()}
    return Load(trace, {}, slos, generating=frozenset({"chat", "busy"}), **more)


async def replayed(served: ScriptedFleet, asked: Load) -> Replayed:
    async with serving(served) as address:
        return await replay(address, asked, groups=["g0", "g1"], progress=lambda done, total: None)


@pytest.mark.asyncio
async def test_requests_for_tokens_are_sent_as_long_as_the_trace_says_and_timed() -> None:
    served = fleet()
    run = await replayed(served, load())
    asked = {len(call.prompt_ids): call for call in served.calls}
    assert {length: call.max_tokens for length, call in asked.items()} == {4: 3, 9: 1, 3: 2}
    assert all(call.sampling.ignores_eos and call.sampling.is_greedy for call in served.calls)
    outcomes = run.outcomes
    assert [FATES[code] for code in outcomes.fate] == [Fate.SERVED, Fate.SERVED, Fate.SLO_INFEASIBLE]
    assert outcomes.group_index.tolist() == [1, 1, NO_GROUP]
    assert outcomes.good.tolist() == [True, True, False]
    assert outcomes.first_token_s is not None
    assert (outcomes.ttft_s[:2] > 0).all() and np.isnan(outcomes.ttft_s[2])
    assert outcomes.tpot_s[0] >= 0 and np.isnan(outcomes.tpot_s[1])
    assert run.timings.queue_s[0] == pytest.approx(0.25)
    assert not run.errors


@pytest.mark.asyncio
async def test_scaled_objectives_go_with_the_request() -> None:
    served = fleet()
    await replayed(served, load(slo_scale=0.5))
    call = next(call for call in served.calls if call.model == "chat")
    assert call.tpot_s == pytest.approx(5.0)
    assert 29.0 < call.slo_s <= 30.0 and 14.0 < call.ttft_s <= 15.0


def test_prompts_begin_alike_where_the_trace_says_so() -> None:
    tokens = Tokens(
        np.array([10, 9, 8, 8], np.int32),
        np.ones(4, np.int32),
        np.array([0, 2, 4, 5, 5]),
        np.array([11, 12, 11, 13, 11]),
        block_tokens=4,
    )
    one, other, third, alone = prompts_of(tokens)
    assert [len(prompt) for prompt in (one, other, third, alone)] == [10, 9, 8, 8]
    assert (one[:4] == other[:4]).all() and (one[:4] == third[:4]).all()
    assert (one[4:8] != other[4:8]).any() and (third[4:] != one[4:8]).any()
    assert (alone[:4] != one[:4]).any()


@pytest.mark.asyncio
@pytest.mark.parametrize("trusts", [True, False])
async def test_tenants_go_as_a_header_that_counts_where_it_is_trusted(trusts: bool) -> None:
    served = fleet()
    asked = load(tenants=Tenants(np.array([0, 1, 0], np.int32), ("", "acme")))
    endpoint = await start_grpc(served, port=0, tenants=Tenancy(None, trusts_everybody=trusts))
    try:
        await replay(f"127.0.0.1:{endpoint.port}", asked, groups=[], progress=lambda done, total: None)
    finally:
        await endpoint.stop(0.0)
    by_length = {len(call.prompt_ids): call.tenant for call in served.calls}
    assert by_length == {4: "", 9: "acme" if trusts else "", 3: ""}
