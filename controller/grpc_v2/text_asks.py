"""From a ModelInferRequest to a call for text, through everything that can be wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.calls import ModelView, Parameter, Reason
from controller.grpc_v2.contents import raw_of
from controller.grpc_v2.parameters import deadline_of, earlier, values_of
from controller.grpc_v2.refusals import Refused
from controller.grpc_v2.text_interface import INPUT_IDS, INPUTS, OUTPUT_IDS, OUTPUTS, TEXT_INPUT, TEXT_OUTPUT
from controller.grpc_v2.text_parameters import options_in_json, options_of, sampling_of
from controller.text import TextCall
from controller.text.names import did_you_mean, short
from controller.versioned import told_version
from vocabulary.numpy_tensors import array_of
from vocabulary.sampling import Sampling
from vocabulary.tensors import ELEMENT_BYTES, Tensor

_MS_PER_S = 1e3
_US_PER_S = 1e6
# Options that are no fields of the call by another name.
_FIELDS = {
    "include_stop_str_in_output": "includes_stop",
    "skip_special_tokens": "skips_special",
    "add_special_tokens": "adds_special",
    "cache_salt": "salt",
    "priority": "priority",
    "max_tokens": "max_tokens",
}


@dataclass(frozen=True, slots=True)
class TextAsk:
    """A call, and how the client wants to hear the answer.

    model, version: as the client wrote them, for replies. wanted: names of outputs. wants_empty_final: a
    message without outputs ends the answer.
    """

    call: TextCall
    model: str
    version: str
    wanted: tuple[str, ...]
    is_streamed: bool = False
    wants_empty_final: bool = False


def text_ask(
    view: ModelView,
    request: object,
    time_remaining_s: float | None,
    *,
    model: str,
    tenant: str,
    has_text: bool,
    protocol: str,
) -> TextAsk:
    """`view` generates, and is known as `model`. has_text: it has a tokenizer. Raises Refused."""
    inputs = _inputs(view, request)
    options = _options(view, inputs, values_of(request.parameters))
    sampling, stop = sampling_of(options), options.get("stop", ())
    wanted = _wanted(view, request, sampling, has_text=has_text)
    call = TextCall(
        request.id,
        model,
        _prompt(view, inputs),
        sampling=sampling,
        stop=stop,
        # Else a token would wait until its character is complete.
        wants_text=TEXT_OUTPUT.name in wanted or bool(stop),
        timeout_s=earlier(deadline_of(time_remaining_s), _seconds(options, "timeout", _US_PER_S)),
        slo_s=_seconds(options, "slo_ms", _MS_PER_S),
        ttft_s=_seconds(options, "ttft_ms", _MS_PER_S),
        tpot_s=_seconds(options, "tpot_ms", _MS_PER_S),
        tenant=tenant,
        protocol=protocol,
        **{field: options[name] for name, field in _FIELDS.items() if name in options},
    )
    return TextAsk(
        call,
        request.model_name,
        told_version(view, request.model_version),
        wanted,
        is_streamed=options.get("stream", False),
        wants_empty_final=options.get("triton_enable_empty_final_response", False),
    )


def _inputs(view: ModelView, request: object) -> dict[str, Any]:
    """The elements of each input: one, but of input_ids all."""
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise _bad(view, f"{len(request.inputs)} inputs came with {len(raws)} raw_input_contents")
    found: dict[str, Any] = {}
    for index, item in enumerate(request.inputs):
        if item.name not in INPUTS:
            near = did_you_mean(item.name, INPUTS) or f"; it has {list(INPUTS)}"
            raise _bad(view, f"no input {short(item.name)!r}{near}")
        if item.name in found:
            raise _bad(view, f"input {item.name!r} came twice")
        elements = _elements(view, item, raws[index] if raws else None)
        found[item.name] = tuple(elements) if item.name == INPUT_IDS.name else elements[0]
    return found


def _elements(view: ModelView, item: object, raw: bytes | None) -> list[Any]:
    spec, shape = INPUTS[item.name], tuple(item.shape)
    types = (spec.datatype, "INT64") if spec.datatype == "INT32" else (spec.datatype,)
    # Batches of one are what clients send whose model had a batch dimension elsewhere.
    is_alone = math.prod(shape) == 1 and 0 < len(shape) <= 2
    is_list = spec is INPUT_IDS and (len(shape) == 1 or (shape[:1] == (1,) and len(shape) == 2))
    if item.datatype not in types or not (is_alone or is_list) or min(shape) < 0:
        expected = f"{' or '.join(types)} {list(spec.shape)}"
        raise _bad(view, f"input {spec.name!r}: expected {expected}, got {short(item.datatype)} {shape[:8]}")
    raw = raw_of(item.name, item.datatype, item.contents) if raw is None else raw
    size = math.prod(shape) * ELEMENT_BYTES.get(item.datatype, 0)
    try:
        if item.datatype != "BYTES" and len(raw) != size:
            raise ValueError(f"{len(raw)} bytes, where it takes {size}")
        return array_of(Tensor(item.name, item.datatype, shape, raw)).ravel().tolist()
    except ValueError as error:
        raise _bad(view, f"input {spec.name!r}: {error}") from None


def _options(view: ModelView, inputs: Mapping[str, Any], values: Mapping[str, Parameter]) -> dict[str, Any]:
    """Of inputs, of parameters, of sampling in JSON; the same in two places must be the same."""
    given = [options_of(values, model=view.name)]
    given.append(
        options_of({key: inputs[key] for key in ("stream", "max_tokens") if key in inputs}, model=view.name)
    )
    if "sampling_parameters" in inputs:
        given.append(options_in_json(inputs["sampling_parameters"], model=view.name))
    if inputs.get("exclude_input_in_output") is False:
        raise _bad(view, "input 'exclude_input_in_output': the answer never repeats the prompt; send true")
    merged: dict[str, Any] = {}
    for options in given:
        for name, value in options.items():
            if merged.setdefault(name, value) != value:
                raise Refused(
                    Reason.INVALID_PARAMETER,
                    f"model {view.name!r}: {name!r} is given twice, as {merged[name]!r} and as {value!r}",
                )
    return merged


def _prompt(view: ModelView, inputs: Mapping[str, Any]) -> str | tuple[int, ...]:
    text, token_ids = inputs.get(TEXT_INPUT.name), inputs.get(INPUT_IDS.name)
    if (text is None) == (token_ids is None):
        found = "neither" if text is None else "both"
        raise _bad(view, f"send one of the inputs 'text_input' and 'input_ids', got {found}")
    if token_ids is not None:
        return token_ids
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _bad(view, f"input 'text_input' is not UTF-8: {error.reason} at byte {error.start}") from None


def _wanted(view: ModelView, request: object, sampling: Sampling, *, has_text: bool) -> tuple[str, ...]:
    """The outputs that were asked for; without any, all that there are."""
    known = [*([TEXT_OUTPUT.name] if has_text else []), OUTPUT_IDS.name]
    if sampling.num_logprobs is not None:
        known.append("output_logprobs")
        known += ["top_ids", "top_logprobs"] if sampling.num_logprobs else []
    asked = tuple(output.name for output in request.outputs)
    for output in request.outputs:
        for parameter in output.parameters:
            raise _bad(view, f"output parameter {short(parameter)!r} is not supported")
    for name in asked:
        if name not in known:
            why = "; it comes where `logprobs` asks for it" if name in OUTPUTS else ""
            raise _bad(view, f"no output {short(name)!r}; it has {known}{why}")
    return asked or tuple(known)


def _seconds(options: Mapping[str, Any], name: str, per_s: float) -> float | None:
    """None where it is not there, or 0, which is none as in Triton."""
    value = options.get(name)
    return value / per_s if value else None


def _bad(view: ModelView, message: str) -> Refused:
    return Refused(Reason.INVALID_TENSOR, f"model {view.name!r}: {message}")
