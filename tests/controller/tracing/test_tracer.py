"""Which requests are traced, what the log says of them, and what a fleet without the extra is told."""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import pytest

from controller.calls import Reason, Refusal
from controller.tracing.asking import ASKING, add_trace_id
from controller.tracing.extra import check, missing
from controller.tracing.opening import open_tracing, resource_of
from controller.tracing.outbox import Outbox
from controller.tracing.tracer import NO_TRACER, Tracer
from tests.controller.tracing.test_outbox import GatedSender
from tests.controller.tracing.traced_fleet import PARENT_ID, TRACE_ID, traceparent
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.mesh import Cluster
from vocabulary.tracing import Tracing

NUM = 2000


def tracer(sample_ratio: float) -> tuple[Tracer, Outbox]:
    outbox = Outbox(GatedSender(), max_waiting=NUM)
    return Tracer(outbox, sample_ratio=sample_ratio, clock=lambda: 3.0, unix=lambda: 103.0), outbox


def alone(story: Callable[[], None]) -> None:
    """As a request is answered: in a context of its own."""
    contextvars.Context().run(story)


def nothing(name: str) -> None:
    return None


@pytest.mark.parametrize(("ratio", "low", "high"), [(0.0, 0, 0), (0.1, 100, 320), (1.0, NUM, NUM)])
def test_of_requests_without_a_trace_the_ratio_begins_one(ratio: float, low: int, high: int):
    found: list[bool] = []

    def story() -> None:
        one.receive(nothing)
        found.append(one.begin() is not None)

    one, _ = tracer(ratio)
    for _ in range(NUM):
        alone(story)
    assert low <= sum(found) <= high


@pytest.mark.parametrize("is_sampled", [True, False])
def test_the_caller_says_whether_its_trace_is_recorded(is_sampled: bool):
    def story() -> None:
        one, _ = tracer(0.0 if is_sampled else 1.0)
        one.receive({"traceparent": traceparent(is_sampled=is_sampled), "tracestate": "a=1"}.get)
        trace = one.begin()
        assert (trace is not None) == is_sampled
        # Logs say of which trace they are, recorded here or not.
        assert add_trace_id(None, "info", {}) == {"trace_id": TRACE_ID}
        if trace is not None:
            assert (trace.parent_id, trace.is_remote) == (int(PARENT_ID, 16), True)

    alone(story)


def test_a_request_that_is_not_traced_has_no_trace_of_the_one_before_it():
    def story() -> None:
        traced, _ = tracer(1.0)
        untraced, _ = tracer(0.0)
        traced.receive(nothing)
        untraced.receive(nothing)
        assert untraced.begin() is None
        assert add_trace_id(None, "info", {"event": "x"}) == {"event": "x"}

    alone(story)


def test_what_is_turned_away_without_a_trace_is_told_nobody():
    def story() -> None:
        one, outbox = tracer(1.0)
        one.turn_away("m", Refusal(Reason.UNSUPPORTED, "no"), protocol="openai", call_id="r")
        outbox.close(0.0)
        assert outbox.num_dropped == 0
        assert ASKING.get() is None

    alone(story)


def test_a_fleet_without_traces_needs_no_extra_and_looks_at_no_header():
    check(Tracing(), packages=("nothing.of.that.name",))
    assert open_tracing(fleet(None)).tracer is NO_TRACER
    assert not NO_TRACER.is_on


def test_a_fleet_whose_extra_is_not_installed_is_told_how_to_get_it():
    packages = ("opentelemetry_of_nobody.sdk",)
    assert missing(packages) == packages
    with pytest.raises(InvalidInput) as caught:
        check(Tracing("http://c:4317"), packages=packages)
    assert caught.value.where == "observability.tracing.otlp_endpoint"
    assert caught.value.hint == 'pip install "statmux[otel]", or leave the key out'


def test_every_front_end_is_an_instance_of_one_service():
    first, second = (resource_of(fleet("http://c:4317"), front=front) for front in (0, 1))
    assert first["service.name"] == second["service.name"] == "shop"
    assert first["service.instance.id"] != second["service.instance.id"]
    assert (second["statmux.fleet"], second["statmux.front"]) == ("demo", 1)


def fleet(endpoint: str | None) -> Deployment:
    return Deployment("demo", Cluster(()), (), tracing=Tracing(endpoint, service_name="shop"))
