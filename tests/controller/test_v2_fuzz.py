"""Whatever a client sends over v2, it is refused in words or answered; nothing of it is a bug of ours."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.grpc_v2.messages import ModelInferRequest
from controller.grpc_v2.text_asks import TextAsk, text_ask
from controller.grpc_v2.text_interface import INPUTS, OUTPUTS
from controller.grpc_v2.text_parameters import _READ, options_in_json
from controller.http.v2_generate import generate_request
from controller.http.v2_tensors import asking_of
from controller.text import Refused
from tests.controller.scripted_fleet import generating_view
from vocabulary.tensors import DATATYPES

VIEW = generating_view("chat")
NAMES = st.sampled_from([*INPUTS, *_READ, "x", ""])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 30)
SCALARS = st.booleans() | NUMBERS | st.floats() | st.text(max_size=5)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
KEYS = NAMES | st.text(max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FINITE | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
SHAPES = st.lists(st.integers(-2, 3), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> ModelInferRequest:
    message = ModelInferRequest(model_name="chat", id=draw(st.text(max_size=3)))
    for name in draw(st.lists(NAMES, max_size=3)):
        item = message.inputs.add(name=name, datatype=draw(st.sampled_from(DATATYPES)), shape=draw(SHAPES))
        item.contents.bytes_contents.extend(draw(st.lists(st.binary(max_size=4), max_size=2)))
        item.contents.int_contents.extend(draw(st.lists(st.integers(-5, 300), max_size=3)))
    for name in draw(st.lists(st.sampled_from([*OUTPUTS, "x"]), max_size=2)):
        message.outputs.add(name=name)
    for name, value in draw(st.dictionaries(NAMES, SCALARS, max_size=4)).items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[
            type(value)
        ]
        setattr(message.parameters[name], kind, value)
    if draw(st.booleans()):
        message.raw_input_contents.extend(draw(st.lists(st.binary(max_size=12), max_size=3)))
    return message


@settings(max_examples=150, deadline=None)
@given(requests(), st.booleans())
def test_request_for_text_becomes_a_call_or_is_refused(message: ModelInferRequest, has_text: bool) -> None:
    try:
        ask = text_ask(VIEW, message, None, model="chat", tenant="", has_text=has_text, protocol="grpc_v2")
    except Refused as refused:
        assert "chat" in str(refused) or "parameter" in str(refused) or "input" in str(refused)
    else:
        assert isinstance(ask, TextAsk) and ask.wanted


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_is_a_body_or_is_refused(value: object) -> None:
    read_or_refuse(json.dumps(value).encode())


def test_json_of_any_depth_is_refused() -> None:
    read_or_refuse(b"[" * 100_000)
    read_or_refuse(b'{"temperature": "' + b"[" * 100_000 + b'"}')


def read_or_refuse(body: bytes) -> None:
    for read in (
        lambda: asking_of(body, None, model="chat", version=""),
        lambda: generate_request(body, model="chat", version="", is_streamed=True),
        lambda: options_in_json(body, model="chat"),
    ):
        try:
            read()
        except Refused as refused:
            assert str(refused)


PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "a"]),
    st.booleans() | NUMBERS | FINITE | st.text(max_size=3),
    max_size=2,
)
TENSORS = st.fixed_dictionaries(
    {"name": st.just("x"), "shape": SHAPES, "datatype": st.sampled_from(DATATYPES)},
    optional={"data": JSON, "parameters": PARAMETERS},
)


@settings(max_examples=150, deadline=None)
@given(st.lists(TENSORS, max_size=3), st.binary(max_size=30))
def test_any_tensors_are_read_or_refused(inputs: list[dict], binary: bytes) -> None:
    head = json.dumps({"inputs": inputs}).encode()
    try:
        asking = asking_of(head + binary, str(len(head)), model="m", version="")
    except Refused as refused:
        assert str(refused)
    else:
        assert len(asking.message.raw_input_contents) == len(inputs)
