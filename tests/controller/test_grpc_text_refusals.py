"""Text over gRPC v2: what is refused, whose call it is, what the model says of itself."""

from __future__ import annotations

import pytest

from controller.calls import Reason
from controller.grpc_v2.messages import (
    SERVICE,
    ModelInferRequest,
    message_class,
)
from controller.tenants import tenants_of
from tests.controller.grpc_text_calls import (
    STREAMED,
    all_replies,
    channel_to,
    conversation,
    ids,
    infer_metadata,
    is_final,
    refused,
    request,
    text,
)
from tests.controller.http.story import MAX_MODEL_LEN, story_fleet
from vocabulary.numpy_tensors import tensor_of
from vocabulary.security import Security, TokenSpec


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("message", "words"),
    [
        (request("chat", text("hi"), n=2), "'n': expected 1, since a request has one answer, got 2"),
        (request("chat", text("hi"), adapter="x"), "'adapter' is not supported"),
        (request("chat", text("hi"), temperature=-1.0), "'temperature': expected a number >= 0"),
        (request("chat", text("hi"), temperature=float("nan")), "'temperature'"),
        (request("chat", text("hi"), top_k=1.5), "'top_k': expected a whole number"),
        (request("chat", text("hi"), logprobs=21), "'logprobs': expected a whole number from 0 to 20"),
        (request("chat", text("hi"), stop_token_ids="a"), "'stop_token_ids'"),
        (request("chat", text("hi"), ignore_eos=1), "'ignore_eos': expected true or false"),
        (request("chat", text("hi"), max_tokens=0), "'max_tokens': expected a whole number from 1"),
        (request("chat", text("hi"), max_tokens=MAX_MODEL_LEN), f"context is {MAX_MODEL_LEN} tokens"),
        (request("chat", text("x" * 600)), f"context is {MAX_MODEL_LEN} tokens; the prompt has 600"),
        (request("chat", text(b"\xff")), "'text_input' is not UTF-8"),
        (request("chat", text("hi"), stream=True), "use ModelStreamInfer"),
        (request("chat", text("hi"), ids(1)), "'text_input' and 'input_ids', got both"),
        (request("chat", STREAMED), "'text_input' and 'input_ids', got neither"),
        (request("chat", ids(258)), "the prompt has token 258; the model's vocabulary is 0 to 257"),
        (request("chat", tensor_of("text", ["a"])), "no input 'text'; it has ['text_input', 'input_ids'"),
        (request("chat", tensor_of("text_input", ["a", "b"])), "expected BYTES [1], got BYTES (2,)"),
        (request("chat", tensor_of("text_input", [1.0])), "expected BYTES [1], got FP64"),
        (request("chat", text("hi"), outputs=("logits",)), "no output 'logits'; it has ['text_output'"),
        (request("chat", text("hi"), outputs=("top_ids",)), "it comes where `logprobs` asks for it"),
        (
            request("chat", text("hi"), tensor_of("max_tokens", [4], datatype="INT32"), max_tokens=5),
            "'max_tokens' is given twice, as 5 and as 4",
        ),
        (
            request("chat", text("hi"), tensor_of("sampling_parameters", ["[]"])),
            "'sampling_parameters' is not a JSON object",
        ),
    ],
)
async def test_what_is_wrong_is_named(message: ModelInferRequest, words: str) -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        status, why = await refused(channel, message)
    assert status == "INVALID_ARGUMENT" and words in why, why
    assert [model for model, _ in fleet.turned_down] == ["chat"], "it is counted"
    assert not fleet.calls


@pytest.mark.asyncio
async def test_what_no_model_takes_is_counted_under_no_model() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        assert (await refused(channel, request("nobody")))[0] == "NOT_FOUND"
    security = Security(auth="token", tokens=(TokenSpec("app", secret_env="APP", tenant="a"),))
    tenants = tenants_of(security, folder=".", environment={"APP": "one"})
    async with channel_to(fleet, tenants=tenants) as channel:
        assert (await refused(channel, request("chat")))[0] == "UNAUTHENTICATED"
    assert [(model, told.reason) for model, told in fleet.turned_down] == [
        ("", Reason.UNKNOWN_MODEL),
        ("", Reason.UNAUTHENTICATED),
    ]


@pytest.mark.asyncio
async def test_refusal_of_the_fleet_is_the_status_of_the_call() -> None:
    async with channel_to(story_fleet()) as channel:
        for model, status in (
            ("busy", "RESOURCE_EXHAUSTED"),
            ("down", "UNAVAILABLE"),
            ("broken", "INTERNAL"),
        ):
            assert (await refused(channel, request(model)))[0] == status
        assert (await refused(channel, request("absent", text("hi"))))[0] in ("UNAVAILABLE", "INTERNAL")


@pytest.mark.asyncio
async def test_answer_that_takes_too_long_is_late() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        status, _ = await refused(channel, request("stuck", text("hi"), timeout=50_000))
    assert status == "DEADLINE_EXCEEDED"
    assert len(fleet.cancelled) == 1


@pytest.mark.asyncio
async def test_description_says_that_the_model_speaks_in_many_messages() -> None:
    async with channel_to(story_fleet()) as channel:
        metadata = await infer_metadata(channel, "chat")
        response = message_class("ModelConfigResponse")
        stub = channel.unary_unary(f"/{SERVICE}/ModelConfig", response_deserializer=response.FromString)
        config = (await stub(message_class("ModelConfigRequest")(name="chat").SerializeToString())).config
    assert [item.name for item in metadata.inputs][:4] == ["text_input", "input_ids", "stream", "max_tokens"]
    assert [item.name for item in metadata.outputs] == ["text_output", "output_ids"]
    assert dict(metadata.properties) == {"task": "generate", "max_model_len": str(MAX_MODEL_LEN)}
    assert config.model_transaction_policy.decoupled
    assert [item.name for item in config.input if not item.optional] == ["text_input"]


@pytest.mark.asyncio
async def test_call_for_text_is_its_tokens_tenant() -> None:
    security = Security(auth="token", tokens=(TokenSpec("app", "search", secret_env="APP"),))
    tenants = tenants_of(security, folder=".", environment={"APP": "one"})
    fleet = story_fleet()
    async with channel_to(fleet, tenants=tenants) as channel:
        stub = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        await stub(request("chat").SerializeToString(), metadata=(("authorization", "Bearer one"),))
        assert (await refused(channel, request("chat")))[0] == "UNAUTHENTICATED"
    assert [call.tenant for call in fleet.calls] == ["search"]


@pytest.mark.asyncio
async def test_bug_in_the_fleet_is_internal_and_keeps_its_text_to_itself() -> None:
    class Broken:
        def __init__(self) -> None:
            fleet = story_fleet()
            self.changed, self.models, self.turned_away = fleet.changed, fleet.models, fleet.turned_away

        def generate(self, call: object) -> object:
            raise ZeroDivisionError("the secret")

    async with channel_to(Broken()) as channel:
        status, why = await refused(channel, request("chat"))
        reply = (await all_replies(channel, request("chat", text("a"), STREAMED, request_id="1")))[0]
    assert status == "INTERNAL" and "secret" not in why + reply.error_message
    assert reply.infer_response.parameters["statmux_reason"].string_param == Reason.FAILED.name


@pytest.mark.asyncio
async def test_more_answers_than_may_be_open_on_a_stream_wait_their_turn() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        messages = [request("stuck", text("a"), STREAMED, request_id=str(index)) for index in range(70)]
        call = await conversation(channel, *messages)
        await fleet.opened(64)
        for _ in range(70):
            await fleet.until(lambda: any(not answer.stream.is_over for answer in fleet.open))
            next(answer for answer in fleet.open if not answer.stream.is_over).end("length")
            assert is_final((await call.read()).infer_response)
        call.cancel()
    assert len({call.request_id for call in fleet.calls}) == 70
