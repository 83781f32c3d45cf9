"""What the hot path reads and writes by itself must be what protobuf would read and write."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from controller.calls import InferReply
from controller.grpc_v2.admission import Admission
from controller.grpc_v2.echo_fleet import EchoFleet, echo_view
from controller.grpc_v2.messages import ModelInferRequest, ModelInferResponse
from controller.grpc_v2.replies import REQUEST_ID, reply_bytes
from controller.grpc_v2.wire import split, varint
from controller.text import TextFront
from vocabulary.tensors import Tensor, TensorSpec

TEXT = st.text(max_size=200)
RAWS = st.lists(st.binary(max_size=70) | st.integers(65_000, 66_000).map(bytes), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> ModelInferRequest:
    message = ModelInferRequest(model_name=draw(TEXT), model_version=draw(TEXT), id=draw(TEXT))
    for name in draw(st.lists(TEXT, max_size=3)):
        message.inputs.add(
            name=name, datatype="FP32", shape=draw(st.lists(st.integers(-1, 2**40), max_size=3))
        )
    for name in draw(st.lists(TEXT, max_size=2)):
        message.outputs.add(name=name)
    for name in draw(st.lists(TEXT, max_size=2)):
        message.parameters[name].string_param = draw(TEXT)
    message.raw_input_contents.extend(draw(RAWS))
    return message


@given(requests(), st.randoms(use_true_random=False))
def test_split_agrees_with_protobuf_in_any_order_of_fields(message: ModelInferRequest, random) -> None:
    fields = [ModelInferRequest(inputs=[item]) for item in message.inputs]
    fields += [
        ModelInferRequest(**{name: getattr(message, name)}) for name in ("model_name", "model_version", "id")
    ]
    rest = ModelInferRequest(outputs=message.outputs, raw_input_contents=message.raw_input_contents)
    for name, value in message.parameters.items():
        rest.parameters[name].CopyFrom(value)
    parts = [part.SerializeToString() for part in (*fields, rest)]
    random.shuffle(parts)
    check_split(b"".join(parts))


@given(requests(), st.data())
def test_damaged_bytes_are_split_like_protobuf_or_left_to_it(
    message: ModelInferRequest, data: st.DataObject
) -> None:
    whole = bytearray(message.SerializeToString() or b"\x00")
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        ModelInferRequest.FromString(damaged)
    except DecodeError:
        check_rejected(damaged)
    else:
        check_split(damaged)


def check_split(message: bytes) -> None:
    """Header, id and raw contents are those of protobuf, and header + the rest is the message."""
    expected, parts = ModelInferRequest.FromString(message), split(message)
    if parts is None:
        return  # left to protobuf: slow, never wrong
    header, request_id, raws = parts
    assert request_id == expected.id
    assert [bytes(raw) for raw in raws] == list(expected.raw_input_contents)
    again = ModelInferRequest.FromString(header)
    assert not again.id and not again.raw_input_contents
    again.id = expected.id
    again.raw_input_contents.extend(expected.raw_input_contents)
    assert again == expected


def check_rejected(message: bytes) -> None:
    """What protobuf cannot parse, split passes on to it, or leaves the fault in the header."""
    parts = split(message)
    if parts is not None:
        try:
            ModelInferRequest.FromString(parts[0])
        except DecodeError:
            return
        raise AssertionError(message)


@given(st.integers(0, 2**63 - 1))
def test_varint_is_protobufs(number: int) -> None:
    message = ModelInferResponse()
    message.parameters["n"].int64_param = number
    assert number == 0 or varint(number) in message.SerializeToString()


@given(
    st.lists(st.tuples(st.integers(1, 3), st.binary(min_size=16, max_size=16)), min_size=1, max_size=6),
    TEXT,
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_reply_is_what_protobuf_reads_back(
    calls: list[tuple[int, bytes]], request_id: str, queue_s: float, execute_s: float
) -> None:
    fleet = EchoFleet([echo_view("echo", TensorSpec("x", "UINT8", (-1, -1)))])
    admission = Admission(fleet, TextFront(fleet, {}))
    for rows, raw in calls:
        request = ModelInferRequest(model_name="echo", id=request_id)
        request.inputs.add(name="x", datatype="UINT8", shape=[4, 4])
        request.raw_input_contents.append(raw)
        form, call = admission.admit(request.SerializeToString(), None)
        assert request_id in (call.request_id, "") and call.request_id
        assert call.tensors == (Tensor("x", "UINT8", (4, 4), raw),)
        output = Tensor("x", "UINT8", (rows, 16), raw * rows)
        reply = InferReply((output,), group=f"g{rows}", queue_s=queue_s, execute_s=execute_s)
        response = ModelInferResponse.FromString(reply_bytes(form, call.request_id, reply))
        assert (response.model_name, response.id) == ("echo", request_id)
        assert (REQUEST_ID in response.parameters) == (not request_id)
        assert response.parameters[REQUEST_ID].string_param in (call.request_id, "")
        assert list(response.outputs[0].shape) == [rows, 16]
        assert list(response.raw_output_contents) == [output.raw]
        assert response.parameters["statmux_group"].string_param == f"g{rows}"
        assert response.parameters["statmux_queue_us"].int64_param == int(queue_s * 1e6)
        assert response.parameters["statmux_execute_us"].int64_param == int(execute_s * 1e6)
