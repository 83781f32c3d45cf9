"""Traces of a fleet that serves, as a collector gets them: over gRPC, v2 REST and OpenAI's API."""

from __future__ import annotations

from itertools import pairwise

import grpc
import pytest

from tests.controller.tracing.collector import Got
from tests.controller.tracing.traced_fleet import (
    PARENT_ID,
    STAGES_S,
    STEP_S,
    TRACE_ID,
    message,
    traced_fleet,
    traceparent,
    v2_body,
)

# Unix times of spans are floats of nanoseconds near 1.8e18, of which a double has 256.
ROUNDING_S = 1e-6


def children(spans: list[Got], of: Got) -> list[Got]:
    return [one for one in spans if one.parent_id == of.span_id]


def assert_within(spans: list[Got], whole: Got) -> None:
    for one in spans:
        assert whole.start_s - ROUNDING_S <= one.start_s <= one.end_s <= whole.end_s + ROUNDING_S, one


@pytest.mark.asyncio
async def test_a_call_over_grpc_belongs_to_its_callers_trace_and_its_parts_make_it_up():
    async with traced_fleet() as fleet:
        await fleet.infer({"traceparent": traceparent(), "tracestate": "rojo=1"})
        spans = (await fleet.told()).of(TRACE_ID)
    (whole,) = (one for one in spans if one.kind == "SPAN_KIND_SERVER")
    assert (whole.name, whole.parent_id, whole.state) == ("infer echo", PARENT_ID, "rojo=1")
    parts = children(spans, whole)
    assert [one.name for one in parts] == ["receive", "queue", "stage 0", "stage 1"]
    assert_within(parts, whole)
    # One after the other, without a gap, until the worker was done; the rest is the way back.
    for before, after in pairwise(parts):
        assert after.start_s == pytest.approx(before.end_s, abs=ROUNDING_S)
    assert [one.took_s for one in parts[2:]] == pytest.approx(STAGES_S, abs=ROUNDING_S)
    assert parts[-1].end_s <= whole.end_s
    queue_ms = whole.attributes["statmux.queue_ms"]
    assert parts[1].took_s == pytest.approx(queue_ms * 1e-3, abs=ROUNDING_S)
    told = whole.attributes
    assert told["gen_ai.operation.name"] == "infer"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == "echo"
    assert (told["statmux.group"], told["statmux.request_id"]) == ("g0", "r-1")
    assert (told["statmux.admission"], told["statmux.tries"]) == ("admitted", 1)
    assert told["statmux.predicted_ms"] >= 1e3 * sum(STAGES_S)
    assert parts[3].attributes == {"statmux.stage": 1, "statmux.devices": ["n-0:1"]}
    assert whole.resource["service.name"] == "statmux"
    assert (whole.resource["statmux.fleet"], whole.resource["statmux.front"]) == ("traced", 0)


@pytest.mark.asyncio
async def test_the_parts_of_a_call_sum_to_what_the_metrics_say_it_took():
    async with traced_fleet() as fleet:
        await fleet.infer({"traceparent": traceparent()})
        spans = (await fleet.told()).of(TRACE_ID)
        value = fleet.metrics.registry.get_sample_value
        labels = {"model": "echo", "group": "g0"}
        waited_s, worked_s, took_s = (
            value(f"statmux_{name}_seconds_sum", labels)
            for name in ("queue_duration", "execute_duration", "request_duration")
        )
    found = {one.name: one for one in spans}
    assert found["queue"].took_s == pytest.approx(waited_s, abs=ROUNDING_S)
    stages_s = found["stage 0"].took_s + found["stage 1"].took_s
    assert stages_s == pytest.approx(worked_s, abs=ROUNDING_S)
    whole_s = found["infer echo"].took_s - found["receive"].took_s
    assert whole_s == pytest.approx(took_s, abs=ROUNDING_S)


@pytest.mark.asyncio
async def test_a_call_over_rest_belongs_to_its_callers_trace():
    async with traced_fleet() as fleet:
        headers = {"traceparent": traceparent()}
        reply = await fleet.http.post("/v2/models/echo/infer", json=v2_body(), headers=headers)
        assert reply.status_code == 200, reply.text
        spans = (await fleet.told()).of(TRACE_ID)
    (whole,) = (one for one in spans if one.parent_id == PARENT_ID)
    assert whole.name == "infer echo"
    assert whole.attributes["statmux.protocol"] == "http_v2"
    assert len(children(spans, whole)) == 4


@pytest.mark.asyncio
async def test_an_answer_of_many_tokens_is_a_prompt_and_what_followed():
    async with traced_fleet() as fleet:
        asked = {"model": "chat", "prompt": [1, 2, 3, 4, 5], "max_tokens": 6, "temperature": 0}
        headers = {"traceparent": traceparent()}
        reply = await fleet.http.post("/v1/completions", json=asked, headers=headers)
        assert reply.status_code == 200, reply.text
        spans = (await fleet.told()).of(TRACE_ID)
    (whole,) = (one for one in spans if one.parent_id == PARENT_ID)
    assert (whole.name, whole.events) == ("text_completion chat", ("first token",))
    assert [one.name for one in children(spans, whole)] == ["receive", "queue", "prefill", "decode"]
    prefill, decode = children(spans, whole)[2:]
    assert [one.name for one in children(spans, prefill)] == ["stage 0", "stage 1"]
    assert_within(children(spans, whole), whole)
    assert_within(children(spans, prefill), prefill)
    assert prefill.took_s == pytest.approx(2 * STEP_S, abs=ROUNDING_S)
    assert prefill.attributes["statmux.tokens"] == 5
    assert decode.attributes["statmux.tokens"] == decode.attributes["statmux.steps"] == 5
    assert decode.attributes["statmux.stage_busy_ms"] == pytest.approx([5e3 * STEP_S] * 2)
    told = whole.attributes
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (5, 6)
    assert told["gen_ai.response.finish_reasons"] == ["length"]
    assert told["gen_ai.response.time_to_first_chunk"] >= 2 * STEP_S


@pytest.mark.asyncio
async def test_what_is_refused_has_a_span_that_says_why():
    async with traced_fleet() as fleet:
        with pytest.raises(grpc.aio.AioRpcError):
            await fleet.infer({"traceparent": traceparent()}, model="nobody")
        with pytest.raises(grpc.aio.AioRpcError):
            await fleet.infer({"traceparent": traceparent()}, model="busy")
        chat = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"traceparent": traceparent()}
        assert (await fleet.http.post("/v1/chat/completions", json=chat, headers=headers)).status_code == 400
        found = {one.name: one for one in (await fleet.told()).servers()}
    told = {name: (one.attributes["error.type"], bool(one.error)) for name, one in found.items()}
    assert told == {
        "infer": ("unknown_model", False),
        "infer busy": ("not_placed", True),
        "chat chat": ("invalid_request", False),
    }
    assert found["infer busy"].attributes["statmux.admission"] == "not_placed"
    assert "busy" in found["infer busy"].error


@pytest.mark.asyncio
async def test_nothing_is_told_of_calls_whose_callers_do_not_record_or_whose_lot_it_is_not():
    async with traced_fleet() as fleet:
        await fleet.infer({"traceparent": traceparent(is_sampled=False)})
        await fleet.told()
        assert fleet.collector.spans == []
    async with traced_fleet(sample_ratio=0.0) as fleet:
        await fleet.infer()
        await fleet.http.post("/v2/models/echo/infer", json=v2_body())
        await fleet.infer({"traceparent": traceparent()})
        (whole,) = (await fleet.told()).servers()
    assert whole.trace_id == TRACE_ID


@pytest.mark.asyncio
async def test_a_traceparent_that_cannot_be_read_begins_a_trace_of_its_own():
    async with traced_fleet() as fleet:
        await fleet.infer({"traceparent": f"00-{TRACE_ID}-{PARENT_ID}"})
        (whole,) = (await fleet.told()).servers()
    assert whole.trace_id != TRACE_ID
    assert whole.parent_id == ""


@pytest.mark.asyncio
async def test_each_message_of_a_stream_is_a_call_of_its_own():
    async with traced_fleet() as fleet:
        stream = fleet.grpc.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        asked = [message(request_id=f"r-{number}").SerializeToString() for number in range(3)]
        replies = [one async for one in stream(iter(asked))]
        assert len(replies) == 3
        wholes = (await fleet.told()).servers()
    assert len({one.trace_id for one in wholes}) == 3
    assert sorted(one.attributes["statmux.request_id"] for one in wholes) == ["r-0", "r-1", "r-2"]


@pytest.mark.asyncio
async def test_calls_of_one_request_without_a_caller_lie_below_the_first():
    async with traced_fleet() as fleet:
        asked = {"model": "chat", "prompt": [[1, 2], [3, 4]], "max_tokens": 2, "temperature": 0}
        assert (await fleet.http.post("/v1/completions", json=asked)).status_code == 200
        first, second = sorted((await fleet.told()).servers(), key=lambda one: one.parent_id)
    assert (first.parent_id, second.parent_id) == ("", first.span_id)
    assert first.trace_id == second.trace_id


@pytest.mark.asyncio
async def test_the_look_of_models_and_of_health_is_in_no_trace():
    async with traced_fleet() as fleet:
        headers = {"traceparent": traceparent()}
        for path in ("/v1/models", "/v2/health/ready", "/v2/models/echo"):
            assert (await fleet.http.get(path, headers=headers)).status_code == 200
        assert (await fleet.told()).spans == []


@pytest.mark.asyncio
async def test_sent_spans_are_counted():
    async with traced_fleet() as fleet:
        await fleet.infer()
        num = len((await fleet.told()).spans)
        value = fleet.metrics.registry.get_sample_value
        assert value("statmux_spans_sent_total") == num == 5
        assert value("statmux_spans_dropped_total") == 0
