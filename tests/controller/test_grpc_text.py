"""Models that generate, over gRPC v2: whole answers, streams, what is told with them, who leaves."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from grpc import aio

from controller.grpc_v2.messages import (
    SERVICE,
)
from tests.controller.grpc_text_calls import (
    COUNTS,
    HELLO,
    HELLO_IDS,
    STREAMED,
    all_replies,
    channel_to,
    conversation,
    ids,
    infer,
    infer_metadata,
    is_final,
    outputs_of,
    refused,
    request,
    text,
    text_of,
)
from tests.controller.http.story import CODEC, story_fleet
from vocabulary.numpy_tensors import tensor_of


@pytest.mark.asyncio
async def test_one_reply_holds_the_whole_answer_and_what_it_took() -> None:
    async with channel_to(story_fleet()) as channel:
        response = await infer(channel, request("chat", request_id="7"))
    assert (response.model_name, response.id, text_of(response)) == ("chat", "7", HELLO)
    assert outputs_of(response)["output_ids"].tolist() == HELLO_IDS
    parameters = response.parameters
    assert parameters["finish_reason"].string_param == "stop"
    assert parameters["statmux_group"].string_param == "g0"
    assert [parameters[name].int64_param for name in COUNTS] == [2, len(HELLO_IDS), 2]
    kinds = {value.WhichOneof("parameter_choice") for value in parameters.values()}
    assert "double_param" not in kinds, "KServe's client does not know doubles"


@pytest.mark.asyncio
async def test_streamed_answer_comes_with_each_steps_new_text_and_marks_its_end() -> None:
    async with channel_to(story_fleet()) as channel:
        replies = await all_replies(channel, request("chat", text("hi"), STREAMED, request_id="7"))
    responses = [reply.infer_response for reply in replies]
    assert not any(reply.error_message for reply in replies)
    assert [response.id for response in responses] == ["7"] * len(responses)
    pieces = [text_of(response) for response in responses]
    assert "".join(pieces) == HELLO and pieces[:3] == ["H", "e", "l"], "one message a step"
    assert np.concatenate([outputs_of(each)["output_ids"] for each in responses]).tolist() == HELLO_IDS
    assert [is_final(response) for response in responses] == [False] * (len(responses) - 1) + [True]
    assert responses[-1].parameters["finish_reason"].string_param == "stop"
    assert responses[-1].parameters["num_output_tokens"].int64_param == len(HELLO_IDS)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_streamed", [True, False])
async def test_empty_last_message_comes_where_it_is_asked_for(is_streamed: bool) -> None:
    tensors = (text("hi"), STREAMED) if is_streamed else (text("hi"),)
    message = request("chat", *tensors, triton_enable_empty_final_response=True)
    async with channel_to(story_fleet()) as channel:
        responses = [reply.infer_response for reply in await all_replies(channel, message)]
    assert (len(responses) > 2) == is_streamed
    assert [is_final(each) for each in responses] == [False] * (len(responses) - 1) + [True]
    assert not responses[-1].outputs
    assert "".join(text_of(each) for each in responses[:-1]) == HELLO


@pytest.mark.asyncio
async def test_answers_on_one_stream_go_out_as_they_come_each_in_its_order() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        call = await conversation(channel, request("stuck", text("a"), STREAMED, request_id="a"))
        first = await fleet.opened(1)
        await call.write(request("stuck", text("b"), STREAMED, request_id="b").SerializeToString())
        second = await fleet.opened(2)
        heard = []
        for answer, token in ((second, 66), (first, 65), (second, 67), (first, 68)):
            answer.say(token)
            heard.append((await call.read()).infer_response)
        assert [response.id for response in heard] == ["b", "a", "b", "a"]
        assert [outputs_of(response)["output_ids"].tolist() for response in heard] == [[66], [65], [67], [68]]
        await call.write(request("chat", request_id="c").SerializeToString())
        assert text_of((await call.read()).infer_response) == HELLO, "it waits for nobody"
        await call.done_writing()
        for answer in (second, first):
            answer.end("length")
        last = [(await call.read()).infer_response for _ in range(2)]
        assert [(each.id, is_final(each)) for each in last] == [("b", True), ("a", True)]
        assert await call.read() == aio.EOF


@pytest.mark.asyncio
async def test_refusals_on_a_stream_are_messages_and_the_others_go_on() -> None:
    requests = (
        request("busy", text("a"), STREAMED, request_id="1"),
        request("chat", text("a"), STREAMED, request_id="2", temprature=1.0),
        request("broken-off", text("a"), STREAMED, request_id="3"),
        request("chat", request_id="4"),
    )
    async with channel_to(story_fleet()) as channel:
        replies = await all_replies(channel, *requests)
    by_id = {key: [each for each in replies if each.infer_response.id == key] for key in "1234"}
    assert "64 requests wait" in by_id["1"][0].error_message
    assert by_id["1"][0].infer_response.parameters["statmux_reason"].string_param == "QUEUE_FULL"
    assert "'temprature' is not supported; did you mean 'temperature'?" in by_id["2"][0].error_message
    assert [text_of(each.infer_response) for each in by_id["3"][:-1]] == ["H", "e", "l"]
    assert "failed" in by_id["3"][-1].error_message and is_final(by_id["3"][-1].infer_response)
    assert text_of(by_id["4"][0].infer_response) == HELLO


@pytest.mark.asyncio
async def test_strict_stream_ends_with_the_first_refusal() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        call = await conversation(channel, request("stuck", text("a"), STREAMED), is_strict=True)
        await fleet.opened()
        await call.write(request("late", text("a"), STREAMED).SerializeToString())
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await fleet.until(lambda: len(fleet.cancelled) == 1)


@pytest.mark.asyncio
async def test_client_that_cancels_or_leaves_frees_what_it_held() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")(request("stuck").SerializeToString())
        await fleet.opened(1)
        call.cancel()
        await fleet.until(lambda: len(fleet.cancelled) == 1)
        stream = await conversation(channel, request("stuck", text("a"), STREAMED), request("stuck"))
        answer = await fleet.opened(2)
        answer.say(65)
        stream.cancel()
        await fleet.until(lambda: len(fleet.cancelled) == 3)
        await conversation(channel, request("stuck", text("a"), STREAMED))
        await fleet.opened(1)
    await fleet.until(lambda: len(fleet.cancelled) == 4)
    assert not fleet.open


@pytest.mark.asyncio
async def test_fleet_hears_all_that_the_client_asked_for() -> None:
    fleet = story_fleet()
    parameters = {
        "temperature": 0.5, "top_k": 7, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.5,
        "presence_penalty": -1.0, "frequency_penalty": 1, "seed": 11, "logprobs": 2, "ignore_eos": True,
        "stop_token_ids": "3,4", "n": 1, "max_tokens": 5, "slo_ms": 4000.0, "ttft_ms": 500, "tpot_ms": 40.0,
        "timeout": 3_000_000, "priority": 1, "cache_salt": "mine",
    }  # fmt: skip
    async with channel_to(fleet) as channel:
        response = await infer(channel, request("chat", text("hi"), **parameters))
    call = fleet.calls[0]
    sampling = call.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (0.5, 7, 0.9, 0.1)
    penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
    assert penalties == (1.5, -1.0, 1.0)
    assert (sampling.seed, sampling.num_logprobs, sampling.ignores_eos) == (11, 2, True)
    assert sampling.stop_token_ids == (3, 4) and call.max_tokens == 5 and call.num_samples == 1
    assert (call.slo_s, call.ttft_s, call.tpot_s, call.timeout_s) == (4.0, 0.5, 0.04, 3.0)
    assert (call.priority, call.salt, call.protocol) == (1, "mine", "grpc_v2")
    outputs = outputs_of(response)
    assert outputs["output_logprobs"].tolist() == [-0.5] * 5
    assert outputs["top_ids"].shape == outputs["top_logprobs"].shape == (5, 2)
    assert outputs["top_ids"][0].tolist() == [HELLO_IDS[0], HELLO_IDS[0] + 1]
    assert response.parameters["finish_reason"].string_param == "length"


@pytest.mark.asyncio
async def test_sampling_may_come_as_json_with_numbers_in_quotes() -> None:
    fleet = story_fleet()
    options = '{"temperature": "0.0", "max_tokens": "3", "stop": ["xx", "7"], "ignore_eos": "True"}'
    sampling = tensor_of("sampling_parameters", [options], datatype="BYTES")
    leaves_out = tensor_of("exclude_input_in_output", [True], datatype="BOOL")
    async with channel_to(fleet) as channel:
        response = await infer(channel, request("chat", text("hi"), sampling, leaves_out))
    assert text_of(response) == HELLO[:3]
    assert fleet.calls[0].sampling.is_greedy and fleet.calls[0].sampling.ignores_eos


@pytest.mark.asyncio
async def test_answer_ends_at_a_stop_string_and_the_request_is_cancelled() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        call = await conversation(channel, request("stuck", text("a"), STREAMED, stop="lo"))
        answer = await fleet.opened()
        answer.say(*CODEC.encode("Hello", adds_special=False))
        heard = []
        while not heard or not is_final(heard[-1]):
            heard.append((await call.read()).infer_response)
        call.cancel()
    assert "".join(text_of(response) for response in heard) == "Hel"
    assert heard[-1].parameters["finish_reason"].string_param == "stop"
    assert fleet.cancelled == [answer.call]


@pytest.mark.asyncio
async def test_tokens_alone_do_not_wait_for_their_characters() -> None:
    fleet = story_fleet()
    halves = CODEC.encode("ü", adds_special=False)
    async with channel_to(fleet) as channel:
        asked = (
            request("stuck", ids(1), STREAMED, outputs=("output_ids",)),
            request("stuck", ids(1), STREAMED),
        )
        call = await conversation(channel, *asked)
        await fleet.opened(2)
        for half in halves:
            for answer in fleet.open:
                answer.say(half)
        heard = [(await call.read()).infer_response for _ in range(3)]
        call.cancel()
    alone, with_text = ([each for each in heard if len(each.outputs) == count] for count in (1, 2))
    assert [outputs_of(each)["output_ids"].tolist() for each in alone] == [[half] for half in halves]
    assert [text_of(each) for each in with_text] == ["ü"]


@pytest.mark.asyncio
async def test_unseeded_answers_differ_and_greedy_ones_need_no_seed() -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        for temperature in (1.0, 1.0, 0.0):
            await infer(channel, request("chat", text("hi"), temperature=temperature))
    first, second, greedy = (call.sampling.seed for call in fleet.calls)
    assert first != second and greedy == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("datatype", ["INT32", "INT64"])
async def test_model_without_a_tokenizer_takes_and_gives_tokens(datatype: str) -> None:
    fleet = story_fleet()
    async with channel_to(fleet) as channel:
        response = await infer(channel, request("tokens", ids(5, 6, 7, datatype=datatype)))
        status, why = await refused(channel, request("tokens", text("hi")))
        metadata = await infer_metadata(channel, "tokens")
    assert fleet.calls[0].prompt_ids == (5, 6, 7)
    assert list(outputs_of(response)) == ["output_ids"]
    assert status == "INVALID_ARGUMENT" and "tokenizer" in why
    assert "text_input" not in [item.name for item in metadata.inputs]
