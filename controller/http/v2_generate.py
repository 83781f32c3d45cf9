"""Triton's generate extension: text without tensors. A body's keys are inputs and parameters alike."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from controller.calls import Reason
from controller.grpc_v2.messages import ModelInferRequest
from controller.grpc_v2.text_interface import EXCLUDE_INPUT, INPUT_IDS, SAMPLING_PARAMETERS, TEXT_INPUT
from controller.http.parameters import json_of
from controller.http.v2_tensors import elements_of, parameters_of
from controller.text import Refused
from controller.text.names import short
from vocabulary.numpy_tensors import tensor_of

_SCALAR_OUTPUTS = frozenset({"text_output"})


def generate_request(body: bytes, *, model: str, version: str, is_streamed: bool) -> object:
    """The ModelInferRequest that a body stands for. Raises Refused."""
    given = json_of(body)
    if not isinstance(given, dict):
        raise Refused(Reason.INVALID_REQUEST, "the body is not a JSON object")
    message = ModelInferRequest(model_name=model, model_version=version)
    request_id = given.pop("id", "")
    message.id = request_id if isinstance(request_id, str) else str(request_id)
    for name, read in _INPUTS.items():
        if name in given:
            _add(message, name, read(given.pop(name)))
    options = _options(given)
    if is_streamed:
        options.setdefault("stream", True)
    if options:
        _add(message, SAMPLING_PARAMETERS.name, _text_of(msgspec.json.encode(options).decode()))
    return message


def generated(reply: object) -> dict[str, object]:
    """A ModelInferResponse as one object: its outputs and parameters by name."""
    told: dict[str, object] = {"model_name": reply.model_name, "model_version": reply.model_version}
    told |= {"id": reply.id} if reply.id else {}
    for item, raw in zip(reply.outputs, reply.raw_output_contents, strict=True):
        elements = elements_of(item, raw)
        told[item.name] = elements[0] if item.name in _SCALAR_OUTPUTS else _nested(item, elements)
    return told | parameters_of(reply)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """All that is no input, from the body itself, its `parameters` and its `sampling_parameters`."""
    parts = [given.pop(name, None) or {} for name in ("parameters", SAMPLING_PARAMETERS.name)]
    parts = [json_of(part.encode()) if isinstance(part, str) else part for part in parts]
    options: dict[str, Any] = {}
    for part in (*parts, given):
        if not isinstance(part, dict):
            raise Refused(Reason.INVALID_REQUEST, "parameters and sampling_parameters are JSON objects")
        for name, value in part.items():
            if options.setdefault(name, value) != value:
                text = f"{short(name)!r} is given twice, with different values"
                raise Refused(Reason.INVALID_PARAMETER, text, param=short(name))
    return options


def _add(message: object, name: str, array: np.ndarray) -> None:
    tensor = tensor_of(name, array)
    message.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
    message.raw_input_contents.append(bytes(tensor.raw))


def _text_of(value: Any) -> np.ndarray:
    alone = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(alone, str):
        raise Refused(Reason.INVALID_PARAMETER, f"{TEXT_INPUT.name} is one string", param=TEXT_INPUT.name)
    return np.array([alone], dtype=object)


def _ids_of(value: Any) -> np.ndarray:
    is_list = isinstance(value, list) and all(type(token) is int for token in value)
    if not is_list or any(not 0 <= token < 2**31 for token in value):
        text = f"{INPUT_IDS.name} is a list of token ids"
        raise Refused(Reason.INVALID_PARAMETER, text, param=INPUT_IDS.name)
    return np.array(value, dtype=np.int32)


def _bool_of(value: Any) -> np.ndarray:
    if not isinstance(value, bool):
        text = f"{EXCLUDE_INPUT.name} is true or false"
        raise Refused(Reason.INVALID_PARAMETER, text, param=EXCLUDE_INPUT.name)
    return np.array([value])


def _nested(item: object, elements: list[Any]) -> list[Any]:
    return elements if len(item.shape) == 1 else np.reshape(elements, tuple(item.shape)).tolist()


_INPUTS = {TEXT_INPUT.name: _text_of, INPUT_IDS.name: _ids_of, EXCLUDE_INPUT.name: _bool_of}
