"""What is wrong with a request is said by name, with what was expected and what came."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.calls import InferCall, Reason
from controller.grpc_v2.admission import Admission
from controller.grpc_v2.contents import FIELDS
from controller.grpc_v2.echo_fleet import EchoFleet, echo_view
from controller.grpc_v2.messages import ModelInferRequest
from controller.grpc_v2.refusals import Refused
from controller.text import TextFront
from tests.controller.grpc_fleet import story_fleet
from vocabulary.numpy_tensors import pack_bytes, tensor_of
from vocabulary.tensors import TensorSpec

IDS = TensorSpec("input_ids", "INT64", (-1, 64))
MASK = TensorSpec("mask", "INT64", (-1, 64))
VALUES = {"BYTES": [b"one", b""], "BOOL": [True, False]}


def fleet_of(*specs: TensorSpec, max_batch_size: int = 0) -> EchoFleet:
    return EchoFleet([replace(echo_view("bert", *specs), max_batch_size=max_batch_size)])


def request_of(*inputs: tuple[str, str, tuple[int, ...], bytes]) -> ModelInferRequest:
    message = ModelInferRequest(model_name="bert")
    for name, datatype, shape, raw in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_input_contents.append(raw)
    return message


def admit(fleet: EchoFleet, message: ModelInferRequest) -> InferCall:
    _, call = Admission(fleet, TextFront(fleet, {})).admit(message.SerializeToString(), None)
    return call


def refusal(fleet: EchoFleet, message: ModelInferRequest) -> tuple[Reason, str]:
    with pytest.raises(Refused) as caught:
        admit(fleet, message)
    return caught.value.refusal.reason, caught.value.refusal.message


GOOD = ("input_ids", "INT64", (1, 64), bytes(512))


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([("input_ids", "INT64", (1, 32), bytes(256))], "expected INT64 [-1, 64], got INT64 [1, 32]"),
        ([("input_ids", "INT32", (1, 64), bytes(256))], "expected INT64 [-1, 64], got INT32 [1, 64]"),
        ([("input_ids", "INT64", (64,), bytes(512))], "expected INT64 [-1, 64], got INT64 [64]"),
        ([("input_ids", "INT64", (-1, 64), bytes(512))], "got INT64 [-1, 64]"),
        ([("input_ids", "INT64", (0, 64), b"")], "got INT64 [0, 64]"),
        ([("input_ids", "INT64", (1, 64), bytes(100))], "takes 512 bytes, got 100"),
        ([("ids", "INT64", (1, 64), bytes(512))], "no input 'ids'; expected [input_ids INT64 [-1, 64]]"),
        ([], "expected inputs [input_ids INT64 [-1, 64]], got []"),
        ([GOOD, GOOD], "got ['input_ids', 'input_ids']"),
    ],
)
def test_bad_tensor_is_named_with_what_was_expected(inputs: list, text: str) -> None:
    reason, message = refusal(fleet_of(IDS), request_of(*inputs))
    assert reason is Reason.INVALID_TENSOR and "model 'bert'" in message and text in message, message


def test_missing_input_is_not_hidden_by_a_doubled_one() -> None:
    assert refusal(fleet_of(IDS, MASK), request_of(GOOD, GOOD))[0] is Reason.INVALID_TENSOR


def test_batch_over_the_largest_is_refused() -> None:
    fleet = fleet_of(IDS, max_batch_size=2)
    message = request_of(("input_ids", "INT64", (3, 64), bytes(3 * 512)))
    assert "(batch <= 2), got INT64 [3, 64]" in refusal(fleet, message)[1]


def test_remembered_header_is_checked_against_each_message() -> None:
    fleet = fleet_of(IDS)
    admission = Admission(fleet, TextFront(fleet, {}))
    good, short = request_of(GOOD), request_of(("input_ids", "INT64", (1, 64), bytes(511)))
    for _ in range(2):
        admission.admit(good.SerializeToString(), None)
        with pytest.raises(Refused, match="takes 512 bytes, got 511"):
            admission.admit(short.SerializeToString(), None)


def test_remembered_header_is_forgotten_when_the_model_changes() -> None:
    fleet = fleet_of(IDS)
    admission, message = Admission(fleet, TextFront(fleet, {})), request_of(GOOD).SerializeToString()
    admission.admit(message, None)
    models = fleet.models()
    models["bert"] = echo_view("bert", TensorSpec("input_ids", "INT64", (1, 32)))
    with pytest.raises(Refused, match=r"expected INT64 \[1, 32\]"):
        admission.admit(message, None)
    del models["bert"]
    with pytest.raises(Refused, match="unknown model 'bert'"):
        admission.admit(message, None)


@pytest.mark.parametrize("datatype", sorted(FIELDS))
def test_typed_contents_are_the_raw_ones(datatype: str) -> None:
    fleet = EchoFleet([echo_view("bert", TensorSpec("x", datatype, (2,)))])
    values = VALUES.get(datatype, [1, 3])
    message = ModelInferRequest(model_name="bert")
    item = message.inputs.add(name="x", datatype=datatype, shape=[2])
    getattr(item.contents, FIELDS[datatype]).extend(values)
    assert admit(fleet, message).tensors == (tensor_of("x", values, datatype=datatype),)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_travels_raw_only(datatype: str) -> None:
    fleet = EchoFleet([echo_view("bert", TensorSpec("x", datatype, (2,)))])
    message = ModelInferRequest(model_name="bert")
    message.inputs.add(name="x", datatype=datatype, shape=[2]).contents.fp32_contents.extend([1, 2])
    assert "raw_input_contents" in refusal(fleet, message)[1]
    raw = tensor_of("x", np.ones(2), datatype=datatype).raw
    assert admit(fleet, request_of(("x", datatype, (2,), raw))).tensors[0].raw == raw


def test_typed_element_that_does_not_fit_is_refused() -> None:
    fleet = EchoFleet([echo_view("bert", TensorSpec("x", "INT8", (1,)))])
    message = ModelInferRequest(model_name="bert")
    message.inputs.add(name="x", datatype="INT8", shape=[1]).contents.int_contents.append(300)
    assert "does not fit INT8" in refusal(fleet, message)[1]


def test_typed_contents_in_the_wrong_field_are_counted() -> None:
    fleet = EchoFleet([echo_view("bert", TensorSpec("x", "FP32", (2,)))])
    message = ModelInferRequest(model_name="bert")
    message.inputs.add(name="x", datatype="FP32", shape=[2]).contents.int_contents.extend([1, 2])
    assert "takes 2 elements of FP32, got 0" in refusal(fleet, message)[1]


def test_raw_and_typed_contents_do_not_mix() -> None:
    message = request_of(GOOD)
    message.inputs[0].contents.int64_contents.append(1)
    assert "send one of them" in refusal(fleet_of(IDS), message)[1]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (pack_bytes([b"a"]), "takes 2 elements, got 1"),
        (pack_bytes([b"a", b"b"])[:-1], "runs past the end"),
        (b"\x01\x00", "runs past the end"),
    ],
)
def test_strings_are_counted(raw: bytes, text: str) -> None:
    fleet = EchoFleet([echo_view("bert", TensorSpec("text", "BYTES", (2,)))])
    assert text in refusal(fleet, request_of(("text", "BYTES", (2,), raw)))[1]


@pytest.mark.parametrize(
    ("name", "near"), [("ecko", "did you mean 'echo'"), ("zzz", "known models: echo, text")]
)
def test_unknown_model_is_told_what_there_is(name: str, near: str) -> None:
    reason, message = refusal(story_fleet(), ModelInferRequest(model_name=name))
    assert reason is Reason.UNKNOWN_MODEL and near in message


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("timeout", "string_param", "5"),
        ("slo_ms", "double_param", float("nan")),
        ("priority", "int64_param", -1),
    ],
)
def test_bad_parameter_is_named(name: str, field: str, value: object) -> None:
    message = request_of(GOOD)
    setattr(message.parameters[name], field, value)
    reason, text = refusal(fleet_of(IDS), message)
    assert reason is Reason.INVALID_PARAMETER and repr(name) in text
