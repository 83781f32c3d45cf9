"""Requests to a living fleet: what is computed, what is refused, and what becomes of those that give up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import jax
import numpy as np
import pytest

from controller.grpc_v2.messages import ModelInferRequest
from statmux.client import AsyncClient, Client, DeadlineExceeded, InvalidRequest, Rejected, Unavailable
from statmux.client.operations import InferResult
from tests.live.fleet_files import BERT, GPT2, SEQUENCE_LENGTH
from tests.live.fleet_process import ServedFleet
from vocabulary.parallel import ParallelConfig
from workers.model import load_model

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)
HOUR_MS = 3.6e6


def token_ids(*, rows: int, length: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, size=(rows, length), dtype=np.int64)


def masked(ids: np.ndarray, *, num_kept: int) -> dict[str, np.ndarray]:
    mask = np.ones_like(ids)
    mask[:, num_kept:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def check_outputs(source: str, requests: list[dict[str, np.ndarray]], answers: list[InferResult]) -> None:
    """That every answer is what the model gives on one device of this process."""
    alone = load_model(
        source,
        config=ParallelConfig(1, 1),
        devices=jax.devices()[:1],
        batch_buckets=(1, 2),
        sequence_buckets=(SEQUENCE_LENGTH,),
        base_dir=Path(),
    )
    for request, answer in zip(requests, answers, strict=True):
        (expected,) = alone.unpad(alone.run(alone.pad([request])))
        assert answer.outputs.keys() == expected.keys()
        for name, array in expected.items():
            # Sums over two devices add up in another order than on one.
            np.testing.assert_allclose(answer.outputs[name], array, rtol=0, atol=1e-5 * np.abs(array).max())


def test_outputs_are_those_of_the_model_on_one_device(client: Client):
    requests = [{"input_ids": token_ids(rows=1, length=length, seed=length)} for length in (1, 7, 16)]
    answers = [client.infer("gpt2", request) for request in requests]
    assert {answer.group for answer in answers} == {"g0"}
    check_outputs(GPT2, requests, answers)


def test_replicas_with_other_meshes_give_the_same_outputs_to_many_at_once(mixed: ServedFleet, address: str):
    requests = [
        masked(token_ids(rows=1 + index % 2, length=1 + index % 16, seed=index), num_kept=1 + index % 8)
        for index in range(64)
    ]

    async def burst() -> list[InferResult]:
        async with AsyncClient(address) as ours:
            return await asyncio.gather(*[ours.infer("encoder", request) for request in requests])

    answers = asyncio.run(burst())
    assert {answer.group for answer in answers} == {"g0", "g2"}
    check_outputs(BERT, requests, answers)
    assert [group["num_recompiles"] for group in mixed.ask("status")["groups"]] == [0, 0, 0]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.full((1, 4), 10**6), "input_ids go from 1000000 to 1000000, outside 0 to"),
        (np.full((1, 4), -1), "outside 0 to"),
        (np.ones((1, SEQUENCE_LENGTH + 1)), "17 tokens are more than the longest bucket, 16"),
        (np.ones((2, 4)), "2 rows are more than the largest bucket, 1"),
    ],
)
def test_what_a_model_cannot_compute_is_refused_and_the_group_goes_on(
    mixed: ServedFleet, client: Client, ids: np.ndarray, words: str
):
    with pytest.raises(InvalidRequest) as caught:
        client.infer("gpt2", {"input_ids": ids.astype(np.int64)})
    assert "model 'gpt2'" in str(caught.value) and words in str(caught.value)
    assert np.isfinite(client.infer("gpt2", {"input_ids": [[1, 2]]}).outputs["logits"]).all()
    assert mixed.group("g0")["num_recompiles"] == 0


def test_a_bad_request_does_not_spoil_the_good_ones_beside_it(client: Client):
    def ask(token_id: int) -> InferResult | InvalidRequest:
        try:
            return client.infer("gpt2", {"input_ids": np.array([[token_id]])})
        except InvalidRequest as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [1, 10**6] * 8))
    assert [type(answer) for answer in answers] == [InferResult, InvalidRequest] * 8


def test_a_burst_beyond_the_objective_is_refused_without_a_hint_to_try_again(
    mixed: ServedFleet, address: str
):
    async def burst() -> list[object]:
        async with AsyncClient(address) as ours:
            calls = [ours.infer("slow", {"INPUT0": X}) for _ in range(10)]
            return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(burst())
    refused = [answer for answer in answers if isinstance(answer, Rejected)]
    served = [answer for answer in answers if isinstance(answer, InferResult)]
    assert len(refused) + len(served) == 10 and refused and served, answers
    assert {(one.reason, one.retry_after_s) for one in refused} == {("SLO_INFEASIBLE", None)}
    assert "would answer later than the 0.95 s allowed" in str(refused[0])


def test_of_thousands_of_calls_at_once_each_is_answered_by_the_fleet(address: str):
    """grpc would by itself cancel some of those beyond the first 1000 that it has not handed over yet."""

    async def burst() -> list[object]:
        async with AsyncClient(address) as ours:
            calls = [ours.infer("slow", {"INPUT0": X}, slo_ms=1) for _ in range(3000)]
            return await asyncio.gather(*calls, return_exceptions=True)

    answers = Counter(
        answer.reason if isinstance(answer, Rejected) else repr(answer) for answer in asyncio.run(burst())
    )
    assert answers == {"SLO_INFEASIBLE": 3000}


def test_what_cannot_be_met_even_on_an_idle_fleet_is_refused(client: Client):
    with pytest.raises(Rejected) as caught:
        client.infer("slow", {"INPUT0": X}, slo_ms=100)
    assert caught.value.reason == "SLO_INFEASIBLE"
    with pytest.raises(Rejected):
        client.infer("slow", {"INPUT0": X}, timeout_s=0.2)


async def cancel_calls(address: str, wait_for_four: Callable[[], Awaitable[None]]) -> None:
    async with AsyncClient(address) as ours:
        calls = [asyncio.ensure_future(ours.infer("slow", {"INPUT0": X}, slo_ms=HOUR_MS)) for _ in range(4)]
        await wait_for_four()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def leave_calls(address: str, wait_for_four: Callable[[], Awaitable[None]]) -> None:
    """The connection goes, with all that is on it."""
    ours = AsyncClient(address)
    calls = [asyncio.ensure_future(ours.infer("slow", {"INPUT0": X}, slo_ms=HOUR_MS)) for _ in range(4)]
    await wait_for_four()
    await ours.close()
    await asyncio.gather(*calls, return_exceptions=True)


async def cancel_stream(address: str, wait_for_four: Callable[[], Awaitable[None]]) -> None:
    request = ModelInferRequest(model_name="slow", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="INPUT0", datatype="INT32", shape=X.shape)
    request.parameters["slo_ms"].int64_param = int(HOUR_MS)
    async with grpc.aio.insecure_channel(address) as channel:
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
        for _ in range(4):
            await stream.write(request.SerializeToString())
        await wait_for_four()
        stream.cancel()


@pytest.mark.parametrize("give_up", [cancel_calls, leave_calls, cancel_stream])
def test_calls_that_are_given_up_free_their_places(
    mixed: ServedFleet,
    address: str,
    client: Client,
    give_up: Callable[[str, Callable[[], Awaitable[None]]], Coroutine[None, None, None]],
):
    async def wait_for_four() -> None:
        await asyncio.to_thread(mixed.until, lambda: mixed.group("g1")["in_flight"] == 4)

    served_before = mixed.ask("status")["models"]["slow"]["num_served"]
    with mixed.held("g1"):
        asyncio.run(give_up(address, wait_for_four))
        mixed.until(lambda: mixed.ask("status")["num_pending"] == 0)
    client.infer("slow", {"INPUT0": X}, slo_ms=HOUR_MS)
    assert mixed.group("g1")["in_flight"] == 0
    assert mixed.ask("status")["models"]["slow"]["num_served"] == served_before + 1
    assert client.infer("slow", {"INPUT0": X}).group == "g1", "a request meets its objective again"


def test_a_request_to_a_group_that_hangs_ends_at_its_deadline_and_frees_its_place(
    mixed: ServedFleet, client: Client
):
    with mixed.held("g1"), pytest.raises(DeadlineExceeded):
        client.infer("fast", {"INPUT0": X}, timeout_s=0.5)
    assert np.array_equal(client.infer("fast", {"INPUT0": X}).outputs["OUTPUT0"], X)
    assert mixed.group("g1")["in_flight"] == 0


def test_a_model_in_no_group_says_so(client: Client):
    with pytest.raises(Unavailable, match="no group of the placement holds") as caught:
        client.infer("homeless", {"INPUT0": X})
    assert caught.value.reason == "NOT_PLACED"


def test_an_unloaded_model_is_refused_until_it_is_loaded_again(mixed: ServedFleet, client: Client):
    client.unload("fast")
    with pytest.raises(Unavailable) as caught:
        client.infer("fast", {"INPUT0": X})
    assert caught.value.reason == "NOT_LOADED"
    client.load("fast")
    assert np.array_equal(client.infer("fast", {"INPUT0": X}).outputs["OUTPUT0"], X)
