"""The request on the wire, and the errors that statmux counts."""

from benchmarks.peers import wire
from benchmarks.peers.statmux_noop import errors_in
from benchmarks.peers.wire import ModelInferRequest, ModelInferResponse, noop_reply, noop_request
from controller.grpc_v2 import messages

METRICS = """
# HELP statmux_requests_total Answered requests
statmux_requests_total{code="OK",model="noop",protocol="grpc_v2",slo_class="default"} 5000.0
statmux_requests_total{code="CANCELLED",model="noop",protocol="grpc_v2",slo_class="default"} 16.0
statmux_requests_total{code="RESOURCE_EXHAUSTED",model="noop",protocol="grpc_v2",slo_class="default"} 2.0
statmux_requests_total{code="UNAVAILABLE",model="noop",protocol="grpc_v2",slo_class="default"} 1.0
statmux_requests_created{code="UNAVAILABLE",model="noop",protocol="grpc_v2",slo_class="default"} 1.79e+09
"""


def test_request_has_128_bytes_on_the_wire():
    assert len(noop_request()) == 128


def test_statmux_reads_the_request_as_it_was_meant():
    theirs = messages.ModelInferRequest.FromString(noop_request())
    assert theirs.model_name == wire.MODEL
    assert [(one.name, one.datatype, list(one.shape)) for one in theirs.inputs] == [("INPUT0", "INT32", [25])]
    assert [len(raw) for raw in theirs.raw_input_contents] == [100]


def test_reply_sends_the_numbers_back():
    request = ModelInferRequest.FromString(noop_request())
    reply = ModelInferResponse.FromString(noop_reply(request).SerializeToString())
    assert reply.raw_output_contents == request.raw_input_contents
    assert (reply.outputs[0].name, reply.outputs[0].shape) == ("OUTPUT0", [25])


def test_errors_are_calls_neither_answered_nor_abandoned_by_the_client():
    assert errors_in(METRICS) == 3


def test_a_page_without_calls_has_no_errors():
    assert errors_in("# HELP statmux_requests_total Answered requests\n") == 0
