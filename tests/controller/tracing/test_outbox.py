"""Traces on their way: nobody waits for them, what does not fit is counted, and the end has a limit."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.calls import Reason
from controller.tracing.otlp import OtlpSender
from controller.tracing.outbox import BATCH, Letter, Outbox
from tests.controller.tracing.collector import collecting
from tests.controller.tracing.test_spans import record

PATIENCE_S = 20.0
# Of one record.
NUM_SPANS = 7


class GatedSender:
    """Takes nothing before it is opened. gone: someone closed it."""

    def __init__(self) -> None:
        self.opened, self.is_sending, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.sent: list[Letter] = []

    def send(self, letters: Sequence[Letter]) -> str:
        self.is_sending.set()
        self.opened.wait(PATIENCE_S)
        if self.gone.is_set():
            return "closed"
        self.sent += letters
        return ""

    def close(self) -> None:
        self.gone.set()
        self.opened.set()


def put(outbox: Outbox, num: int) -> None:
    for _ in range(num):
        outbox.put(record(), clock_to_unix_s=1e9)


def test_what_waits_is_bounded_and_what_does_not_fit_is_counted():
    sender = GatedSender()
    outbox = Outbox(sender, max_waiting=40, interval_s=60.0)
    outbox.start()
    put(outbox, BATCH + 1)
    assert sender.is_sending.wait(PATIENCE_S)
    # A batch is under way, one trace waits: there is room for 39.
    put(outbox, 100)
    assert outbox.num_dropped == NUM_SPANS * 61
    sender.opened.set()
    outbox.close(PATIENCE_S)
    assert len(sender.sent) == BATCH + 40
    assert outbox.num_sent == NUM_SPANS * (BATCH + 40)
    assert outbox.num_dropped == NUM_SPANS * 61


def test_the_end_sends_what_waits_and_takes_nothing_more():
    sender = GatedSender()
    sender.opened.set()
    outbox = Outbox(sender, max_waiting=1000, interval_s=60.0)
    outbox.start()
    put(outbox, 3)
    outbox.close(PATIENCE_S)
    put(outbox, 1)
    assert (outbox.num_sent, outbox.num_dropped) == (3 * NUM_SPANS, NUM_SPANS)


def test_the_end_does_not_wait_for_a_collector_that_hangs():
    sender = GatedSender()
    outbox = Outbox(sender, max_waiting=1000, interval_s=60.0)
    outbox.start()
    put(outbox, BATCH + 5)
    assert sender.is_sending.wait(PATIENCE_S)
    outbox.close(0.0)
    assert sender.gone.is_set()
    assert outbox.num_sent == 0
    assert outbox.num_dropped == (BATCH + 5) * NUM_SPANS


def test_an_outbox_that_was_never_started_ends():
    outbox = Outbox(GatedSender(), max_waiting=10)
    put(outbox, 2)
    outbox.close(PATIENCE_S)
    assert outbox.num_dropped == 2 * NUM_SPANS


class BrokenSender(GatedSender):
    def send(self, letters: Sequence[Letter]) -> str:
        if not self.is_sending.is_set():
            self.is_sending.set()
            raise KeyError("a bug")
        return super().send(letters)


def test_a_bug_loses_the_traces_that_meet_it_and_no_others():
    sender = BrokenSender()
    sender.opened.set()
    outbox = Outbox(sender, max_waiting=1000, interval_s=60.0)
    outbox.start()
    put(outbox, BATCH + 3)
    outbox.close(PATIENCE_S)
    assert (outbox.num_dropped, outbox.num_sent) == (BATCH * NUM_SPANS, 3 * NUM_SPANS)


def sender_to(endpoint: str, *, timeout_s: float) -> OtlpSender:
    return OtlpSender(endpoint, resource={"service.name": "s"}, version="0", timeout_s=timeout_s)


def test_a_collector_that_comes_back_gets_what_comes_then():
    with collecting() as collector:
        sender = sender_to(collector.endpoint, timeout_s=PATIENCE_S)
        letter = Letter(record(), 1e9)
        collector.refuses = True
        assert "did not take them" in sender.send([letter])
        collector.refuses = False
        assert sender.send([letter, letter]) == ""
        assert len(collector.spans) == 2 * NUM_SPANS
        (whole, *_) = collector.servers()
        assert whole.start_s == pytest.approx(1e9 + 9.5)
        assert whole.attributes["statmux.batch_size"] == 3
        sender.close()


def test_ids_that_are_no_unicode_are_sent_as_far_as_they_are():
    with collecting() as collector:
        sender = sender_to(collector.endpoint, timeout_s=PATIENCE_S)
        odd = replace(record(), call_id="r-\ud800", tenant="größer", reason=Reason.FAILED, words="\udfff")
        assert sender.send([Letter(odd, 0.0)]) == ""
        (whole,) = collector.servers()
        assert whole.attributes["statmux.request_id"] == "r-?"
        assert whole.attributes["statmux.tenant"] == "größer"
        assert whole.error == "?"
        sender.close()


def test_a_tracestate_that_is_none_is_left_out_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture):
    with collecting() as collector:
        sender = sender_to(collector.endpoint, timeout_s=PATIENCE_S)
        known = record()
        asking = replace(known.trace.asking, state="no state; of anybody,a=1,a=2")
        odd = replace(known, trace=replace(known.trace, asking=asking))
        assert sender.send([Letter(odd, 0.0)]) == ""
        assert len(collector.spans) == NUM_SPANS
        assert caplog.text == ""
        sender.close()


def test_a_collector_that_is_not_there_or_says_nothing_costs_its_time_and_no_more():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        sender = sender_to(f"http://127.0.0.1:{port}", timeout_s=0.2)
        started_s = time.monotonic()
        assert "within 0.2 s" in sender.send([Letter(record(), 0.0)])
        assert time.monotonic() - started_s < PATIENCE_S
        sender.close()
    nobody = sender_to(f"http://127.0.0.1:{port}", timeout_s=0.2)
    assert nobody.send([Letter(record(), 0.0)]) != ""
    nobody.close()
