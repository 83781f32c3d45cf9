"""From a record to spans: pure, so every kind of end of a call is told here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.calls import Reason
from controller.tracing.asking import Asking, CallTrace, Try
from controller.tracing.record import CallRecord, TokenTimes
from controller.tracing.span import Span
from controller.tracing.spans import num_spans, spans_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.versions import spec_name
from workers.frames import Done
from workers.work_times import StageTime, StepsTime, WorkTimes

GROUP = Group("g0", ("a:0", "a:1", "b:0", "b:1"), ParallelConfig(2, 2, crossings=(0,)), ("m",))
OTHER = replace(GROUP, id="g1", devices=("c:0", "c:1", "d:0", "d:1"))
STAGES = (
    StageTime(0, 11.0, 12.0),
    StageTime(1, 12.0, 12.5, is_transfer=True),
    StageTime(1, 13.0, 14.0),
    StageTime(2, 14.0, 14.25, is_transfer=True),
)


def trace(*groups: Group, parent_id: int = 7) -> CallTrace:
    asking = Asking(5, parent_id, True, 9.5, is_remote=True)
    tries = [Try(10.1 + number, group, 14.0) for number, group in enumerate(groups)]
    return CallTrace(asking, 100, parent_id, True, tries)


def done(times: WorkTimes | None, *, start_s: float = 11.0, fate: str = "served") -> Done:
    return Done(1, fate, start_s, 14.25, 3, "", (), ("stop",), 16, times)


def record(**more: object) -> CallRecord:
    told = {"trace": trace(GROUP), "done": done(WorkTimes(STAGES)), "group": "g0", **more}
    return CallRecord(
        model=spec_name("m", "2"),
        protocol="grpc_v2",
        call_id="r",
        ended_s=14.5,
        arrival_s=10.0,
        slo_s=5.0,
        **told,
    )


def lines(spans: tuple[Span, ...]) -> list[str]:
    names = {one.span_id: one.name for one in spans}
    return [f"{names.get(one.parent_id, '')} > {one.name} {one.start_s:g}..{one.end_s:g}" for one in spans]


def test_a_call_over_two_hosts_is_its_queue_its_stages_and_what_crossed():
    spans = spans_of(record())
    assert lines(spans) == [
        " > infer m 9.5..14.5",
        "infer m > receive 9.5..10",
        "infer m > queue 10..11",
        "infer m > stage 0 11..12",
        "infer m > transfer 0 to 1 12..12.5",
        "infer m > stage 1 13..14",
        "infer m > transfer of results 14..14.25",
    ]
    assert spans[3].attributes["statmux.devices"] == ("a:0", "a:1")
    assert spans[4].attributes["statmux.to_devices"] == ("b:0", "b:1")
    whole = spans[0]
    assert (whole.trace_id, whole.parent_id, whole.is_remote_parent, whole.error) == (5, 7, True, "")
    assert whole.attributes == {
        "gen_ai.operation.name": "infer",
        "gen_ai.provider.name": "statmux",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": spec_name("m", "2"),
        "statmux.protocol": "grpc_v2",
        "statmux.request_id": "r",
        "statmux.tries": 1,
        "statmux.admission": "admitted",
        "statmux.group": "g0",
        "statmux.predicted_ms": 4000.0,
        "statmux.queue_ms": 1000.0,
        "statmux.batch_size": 3,
        "statmux.slo_ms": 5000.0,
    }
    assert len({one.span_id for one in spans}) == len(spans)


def test_an_answer_of_tokens_is_its_prompt_and_what_followed():
    steps = StepsTime(11.0, 12.5, 2, (0.5, 0.5)), StepsTime(12.5, 14.25, 7, (0.7, 0.6))
    asked = record(
        done=done(WorkTimes(STAGES[:1], *steps)),
        generates=True,
        input_tokens=33,
        max_tokens=20,
        num_samples=2,
        tokens=TokenTimes(12.6, 16),
    )
    spans = spans_of(asked)
    assert lines(spans)[2:] == [
        "generate_content m > queue 10..11",
        "generate_content m > prefill 11..12.5",
        "prefill > stage 0 11..12",
        "generate_content m > decode 12.5..14.25",
    ]
    assert [one.name for one in spans[0].events] == ["first token"]
    assert spans[0].attributes["gen_ai.usage.output_tokens"] == 16
    assert spans[0].attributes["gen_ai.usage.cache_read.input_tokens"] == 16
    assert spans[-1].attributes["statmux.tokens"] == 14


def test_a_call_that_was_given_to_two_groups_tells_both():
    whole, _, queue, *rest = spans_of(record(trace=trace(GROUP, OTHER), group="g1"))
    assert whole.attributes["statmux.tries"] == 2
    assert [(one.name, one.at_s, one.attributes["statmux.group"]) for one in whole.events] == [
        ("retry: the group before was lost", 11.1, "g1")
    ]
    assert [one.attributes["statmux.group"] for one in queue.events] == ["g0", "g1"]
    assert rest[0].attributes["statmux.devices"] == ("c:0", "c:1")


@pytest.mark.parametrize(
    ("reason", "is_error"),
    [(Reason.SLO_INFEASIBLE, True), (Reason.LOST, True), (Reason.CANCELLED, False)],
)
def test_a_call_that_no_group_took_waits_to_its_end(reason: Reason, is_error: bool):
    refused = record(trace=trace(), done=None, group="", reason=reason, words="why not")
    spans = spans_of(refused)
    assert lines(spans)[2:] == ["infer m > queue 10..14.5"]
    told = spans[0].attributes
    assert told["error.type"] == told["statmux.admission"] == reason.value
    assert "gen_ai.response.model" not in told
    assert spans[0].error == ("why not" if is_error else "")


def test_a_call_that_failed_on_the_way_was_admitted():
    failed = record(done=done(None, fate="failed"), reason=Reason.FAILED, words="KeyError in stage 0")
    spans = spans_of(failed)
    assert spans[0].attributes["statmux.admission"] == "admitted"
    assert spans[0].attributes["error.type"] == "failed"
    assert lines(spans)[2:] == ["infer m > queue 10..11"]


def test_what_never_was_a_call_is_one_span():
    asked = CallRecord(trace(), "", "openai", "r", 14.5, Reason.UNAUTHENTICATED, "a token is needed")
    (whole,) = spans_of(asked)
    assert (whole.name, whole.start_s, whole.end_s) == ("infer", 9.5, 14.5)
    assert whole.attributes["statmux.admission"] == "unauthenticated"


def test_the_clock_of_another_host_moves_nothing_out_of_the_call():
    early = done(WorkTimes((StageTime(0, 8.0, 9.0), StageTime(1, 14.0, 20.0))), start_s=8.0)
    for one in spans_of(record(done=early))[1:]:
        assert 9.5 <= one.start_s <= one.end_s <= 14.5


@pytest.mark.parametrize(
    "one",
    [
        record(),
        record(done=None, trace=trace()),
        record(done=done(None)),
        record(done=done(WorkTimes())),
        record(done=done(WorkTimes(STAGES, StepsTime(11.0, 12.0, 1, (1.0,))))),
        record(done=done(WorkTimes(STAGES, *2 * (StepsTime(11.0, 12.0, 1, (1.0,)),)))),
        replace(record(), arrival_s=9.0),
        CallRecord(trace(), "", "openai", "r", 14.5, Reason.UNAUTHENTICATED),
    ],
)
def test_spans_are_counted_without_being_made(one: CallRecord):
    assert num_spans(one) == len(spans_of(one))


def test_ids_never_run_over_or_become_none():
    whole = trace(GROUP)
    last = replace(whole, span_id=2**64 - 2)
    ids = [one.span_id for one in spans_of(record(trace=last))]
    assert all(0 < one < 2**64 for one in ids)
    assert len(set(ids)) == len(ids)
