"""Bodies of v2 over REST as messages, and back: JSON tensors, and the extension for binary ones.

A body with binary tensors begins with JSON, as long as the header Inference-Header-Content-Length says; the
tensors follow in their order, each as long as its parameter binary_data_size.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response

from controller.calls import Reason
from controller.grpc_v2.messages import ModelInferRequest
from controller.http.endpoint import LENGTH_HEADER
from controller.http.errors import json_response
from controller.text import Refused
from controller.text.names import short
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.tensors import DATATYPES, Tensor

_SIZE, _BINARY, _ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
Scalar = bool | int | float | str
Parameters = dict[str, Scalar]


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: Any = msgspec.UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: Parameters = {}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """model_name: KServe's client writes it; the path says it."""

    inputs: list[_Input]
    id: str = ""
    model_name: str = ""
    parameters: Parameters = {}
    outputs: list[_Output] = []


_DECODER = msgspec.json.Decoder(_Body)


class Asking(msgspec.Struct):
    """A ModelInferRequest, and which outputs its client wants as binary."""

    message: object
    binary: dict[str, bool]
    is_all_binary: bool


def asking_of(body: bytes, header_length: str | None, *, model: str, version: str) -> Asking:
    """What is in the body of an infer request. Raises Refused."""
    num_json = _json_length(body, header_length)
    try:
        parsed = _DECODER.decode(memoryview(body)[:num_json])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Reason.INVALID_REQUEST, f"the body is not an inference request: {error}") from error
    message = ModelInferRequest(model_name=model, model_version=version, id=parsed.id)
    is_all_binary = parsed.parameters.pop(_ALL_BINARY, False) is True
    set_parameters(message, parsed.parameters)
    _add_inputs(message, parsed.inputs, memoryview(body)[num_json:])
    binary = {}
    for output in parsed.outputs:
        binary[output.name] = output.parameters.pop(_BINARY, is_all_binary) is True
        set_parameters(message.outputs.add(name=output.name), output.parameters)
    return Asking(message, binary, is_all_binary)


def set_parameters(message: object, parameters: Parameters) -> None:
    """Raises Refused for a number that no parameter can hold."""
    for name, value in parameters.items():
        try:
            setattr(message.parameters[name], _KINDS[type(value)], value)
        except ValueError as error:
            text = f"parameter {short(name)!r}: {short(str(value))} is out of range"
            raise Refused(Reason.INVALID_PARAMETER, text, param=short(name)) from error


def parameters_of(message: object) -> Parameters:
    """The parameters of a message."""
    return {
        name: getattr(one, one.WhichOneof("parameter_choice")) for name, one in message.parameters.items()
    }


def infer_response(reply: object, asking: Asking) -> Response:
    """A ModelInferResponse as the body that its client asked for. Raises Refused."""
    outputs, raws = [], []
    for item, raw in zip(reply.outputs, reply.raw_output_contents, strict=True):
        output: dict[str, object] = {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)}
        if asking.binary.get(item.name, asking.is_all_binary):
            output["parameters"] = {_SIZE: len(raw)}
            raws.append(raw)
        else:
            output["data"] = elements_of(item, raw)
        outputs.append(output)
    body: dict[str, object] = {"model_name": reply.model_name, "model_version": reply.model_version}
    body |= {"id": reply.id} if reply.id else {}
    body |= {"parameters": parameters_of(reply), "outputs": outputs}
    if not raws:
        return json_response(body)
    head = msgspec.json.encode(body)
    return Response(
        b"".join([head, *raws]),
        headers={LENGTH_HEADER: str(len(head))},
        media_type="application/octet-stream",
    )


def elements_of(item: object, raw: bytes) -> list[Any]:
    """The elements of an output, flat, for JSON. Raises Refused if it has strings that are not text."""
    elements = array_of(Tensor(item.name, item.datatype, tuple(item.shape), raw)).ravel().tolist()
    if item.datatype != "BYTES":
        return elements
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError as error:
        message = f"output {item.name!r} is not UTF-8, which JSON needs: ask for it with binary_data: true"
        raise Refused(Reason.INVALID_REQUEST, message) from error


def _json_length(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    if header_length.isascii() and header_length.isdigit() and int(header_length) <= len(body):
        return int(header_length)
    message = f"header {LENGTH_HEADER}: expected a number up to {len(body)}, got {short(header_length)!r}"
    raise Refused(Reason.INVALID_REQUEST, message)


def _add_inputs(message: object, inputs: list[_Input], binary: memoryview) -> None:
    start = 0
    for item in inputs:
        tensor = message.inputs.add(name=item.name, datatype=item.datatype)
        _set_shape(tensor, item)
        size = item.parameters.pop(_SIZE, None)
        set_parameters(tensor, item.parameters)
        if size is None:
            message.raw_input_contents.append(_raw_of(item))
            continue
        is_size = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= len(binary) - start
        if not is_size or item.data is not msgspec.UNSET:
            left = f"{len(binary) - start} of {len(binary)} binary bytes are left"
            raise _bad(item, f"{_SIZE} is {short(str(size))}, {left}, and data should not be there")
        message.raw_input_contents.append(bytes(binary[start : start + size]))
        start += size
    if start != len(binary):
        text = f"{len(binary)} binary bytes follow the JSON, and the inputs take {start} by their {_SIZE}"
        raise Refused(Reason.INVALID_REQUEST, text)


def _set_shape(tensor: object, item: _Input) -> None:
    try:
        tensor.shape.extend(item.shape)
    except ValueError:
        raise _bad(item, "a dimension of its shape is out of range") from None


def _raw_of(item: _Input) -> bytes:
    """The elements of `data`, which may be nested or flat."""
    if item.datatype not in DATATYPES:
        raise _bad(item, f"unknown datatype {short(item.datatype)!r}; it is one of {', '.join(DATATYPES)}")
    if not isinstance(item.data, list):
        raise _bad(item, f"send data, a list, or binary data of so many bytes as {_SIZE} says")
    try:
        values = np.array(item.data, dtype=object if item.datatype == "BYTES" else None)
        if values.size != math.prod(item.shape):
            raise ValueError(
                f"shape {item.shape[:8]} takes {math.prod(item.shape)} elements, got {values.size}"
            )
        return bytes(tensor_of(item.name, values, datatype=item.datatype).raw)
    except (ValueError, OverflowError) as error:
        raise _bad(item, str(error)) from error


def _bad(item: _Input, message: str) -> Refused:
    return Refused(Reason.INVALID_TENSOR, f"input {short(item.name)!r}: {message}")


_KINDS = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
