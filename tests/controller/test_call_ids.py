"""Every reply tells an id, and the journal explains a call that was refused for its form by that id."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from controller.calls import Reason, Refusal
from controller.grpc_v2.messages import ModelInferRequest, ModelInferResponse
from controller.grpc_v2.server import start_grpc
from controller.journal import Journal
from controller.journal.explanation import explanation
from controller.journal.read import JournalFile
from controller.request_lines import turned_away_line
from tests.controller import grpc_fleet
from tests.controller.http.story import story_fleet
from tests.controller.http.test_v2_rest import ROW, client_of, infer

INFER = "/inference.GRPCInferenceService/ModelInfer"


class Written:
    """What a fleet turns away goes into a journal, as `FleetServer` has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal = Journal(path)
        self._journal.open()

    def over(self, fleet: object) -> object:
        def turned_away(
            model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
        ) -> None:
            line = turned_away_line(call_id, model, refusal, protocol=protocol, unix_s=time.time())
            self._journal.request(line)

        fleet.turned_away = turned_away
        return fleet

    def write(self, call_id: str) -> None:
        refusal = Refusal(Reason.UNAVAILABLE, "no")
        self._journal.request(turned_away_line(call_id, "a", refusal, protocol="http", unix_s=time.time()))

    def sentences(self, call_id: str) -> str:
        self._journal.close()
        return " ".join(explanation(JournalFile(self._path), call_id)["sentences"])

    def close(self) -> None:
        self._journal.close()


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    journal = Written(tmp_path / "journal.db")
    yield journal
    journal.close()


async def called(fleet: object, request: object) -> tuple[object | None, dict[str, object]]:
    """The reply to it over gRPC, None for an error, and the trailing metadata."""
    running = await start_grpc(fleet, port=0)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            call = channel.unary_unary(INFER)(request.SerializeToString())
            try:
                reply = ModelInferResponse.FromString(await call)
            except grpc.aio.AioRpcError:
                reply = None
            return reply, dict(await call.trailing_metadata())
    finally:
        await running.stop(0.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("own", ["", "mine-1"])
async def test_a_call_refused_for_its_form_over_grpc_is_explained_by_its_id(
    written: Written, own: str
) -> None:
    fleet = written.over(grpc_fleet.story_fleet())
    reply, trailers = await called(fleet, ModelInferRequest(model_name="echo", id=own))
    assert reply is None and trailers["x-request-id"] == (own or trailers["x-request-id"])
    assert "was not served (invalid_" in written.sentences(trailers["x-request-id"])


@pytest.mark.asyncio
async def test_an_id_that_is_refused_for_its_length_is_kept_nowhere(written: Written) -> None:
    fleet = written.over(grpc_fleet.story_fleet())
    reply, trailers = await called(fleet, ModelInferRequest(model_name="echo", id="x" * 100_000))
    assert reply is None and len(trailers["x-request-id"]) < 100
    assert "the id has 100000 characters" in written.sentences(trailers["x-request-id"])


@pytest.mark.asyncio
async def test_a_served_call_without_an_id_is_told_one_beside_its_empty_id() -> None:
    request = ModelInferRequest(model_name="echo")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(bytes(16))
    reply, _ = await called(grpc_fleet.story_fleet(), request)
    assert reply.id == "" and reply.parameters["statmux_request_id"].string_param


@pytest.mark.asyncio
@pytest.mark.parametrize("own", [{}, {"id": "mine-2"}])
async def test_a_call_refused_for_its_form_over_rest_is_explained_by_its_id(
    written: Written, own: dict[str, str]
) -> None:
    async with client_of(written.over(grpc_fleet.story_fleet())) as client:
        reply = await infer(client, ROW | {"shape": [1, 4], "datatype": "INT32"}, **own)
    assert reply.status_code == 400 and own.get("id") in (None, reply.headers["x-request-id"])
    assert "was not served (invalid_" in written.sentences(reply.headers["x-request-id"])


@pytest.mark.asyncio
async def test_a_body_that_is_no_request_over_rest_is_explained_by_the_header(written: Written) -> None:
    async with client_of(written.over(grpc_fleet.story_fleet())) as client:
        reply = await client.post("/v2/models/echo/infer", content=b"{", headers={"x-request-id": "mine-3"})
    assert reply.headers["x-request-id"] == "mine-3"
    assert "for echo came over http_v2" in written.sentences("mine-3")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        {"model": "chat", "messages": []},
        {"model": "chat", "messages": [{"role": "user", "content": "a" * 2000}]},
    ],
)
async def test_a_call_refused_for_its_form_over_openai_is_explained_by_the_header(
    written: Written, body: dict[str, object]
) -> None:
    async with client_of(written.over(story_fleet())) as client:
        reply = await client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 400
    assert "was not served" in written.sentences(reply.headers["x-request-id"])


def test_an_answer_over_openai_s_api_is_explained_by_the_id_that_its_client_was_told(
    written: Written,
) -> None:
    for call_id in ("r-7", "cmpl-mine"):
        written.write(call_id)
    for told, own in (("chatcmpl-r-7", "r-7"), ("cmpl-r-7", "r-7"), ("cmpl-mine", "cmpl-mine")):
        assert f"Request {own} for" in written.sentences(told)
