"""How an answer is to be drawn, from parameters of a v2 request: each checked, each unknown one refused."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from controller.calls import Reason
from controller.grpc_v2.refusals import Refused
from controller.text.names import did_you_mean, short
from vocabulary.sampling import MAX_LOGPROBS, Sampling

_MAX_WHOLE = 2**63 - 1
_SEED_BITS = 63
_TINY = 1e-9  # a top_p of 0 asks for the most probable token: the sampler wants some probability
Read = Callable[[object], object]


class _Wrong(ValueError):
    """What was expected instead."""


def options_of(values: Mapping[str, object], *, model: str) -> dict[str, Any]:
    """Each parameter by its name, in its type. Raises Refused with the name of the first that is wrong."""
    return {name: _read(name, value, model) for name, value in values.items()}


def options_in_json(text: bytes, *, model: str) -> dict[str, Any]:
    """Of the input `sampling_parameters`, whose numbers may be in quotes. Raises Refused."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        message = f"model {model!r}: input 'sampling_parameters' is not a JSON object"
        raise Refused(Reason.INVALID_PARAMETER, message)
    return options_of({name: _unquoted(name, value) for name, value in values.items()}, model=model)


def sampling_of(options: Mapping[str, Any]) -> Sampling:
    """Without a seed, answers that are drawn differ."""
    asked = {ours: options[name] for name, ours in _SAMPLING.items() if name in options}
    sampling = Sampling(**asked)
    if "seed" in asked or sampling.is_greedy:
        return sampling
    return Sampling(**asked, seed=secrets.randbits(_SEED_BITS))


def _read(name: str, value: object, model: str) -> object:
    read = _READ.get(name)
    if read is None:
        near = did_you_mean(name, _READ)
        message = f"model {model!r}: parameter {short(name)!r} is not supported{near}"
        raise Refused(Reason.INVALID_PARAMETER, message)
    try:
        return read(value)
    except _Wrong as wrong:
        message = f"model {model!r}: parameter {name!r}: expected {wrong}, got {short(repr(value))}"
        raise Refused(Reason.INVALID_PARAMETER, message) from None


def _unquoted(name: str, value: object) -> object:
    if not isinstance(value, str) or name in _TEXTS:
        return value
    try:
        return json.loads(value.lower())
    except (ValueError, RecursionError):
        return value


def _number(low: float, high: float = math.inf, *, is_above: bool = False) -> Read:
    """is_above: `low` itself is too low."""
    above = f"> {low:g}" if is_above else f">= {low:g}"
    expected = f"a number {above}" + (f" and <= {high:g}" if high < math.inf else "")

    def read(value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        number = _float(value) if is_number else math.nan
        if not math.isfinite(number) or not low <= number <= high:
            raise _Wrong(expected)
        if is_above and number == low:
            raise _Wrong(expected)
        return number

    return read


def _float(value: int | float) -> float:
    """JSON has whole numbers that no float holds."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _whole(low: int, high: int = _MAX_WHOLE) -> Read:
    expected = f"a whole number from {low}" + (f" to {high}" if high < _MAX_WHOLE else "")

    def read(value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Wrong(expected)
        return value

    return read


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong("a string")
    return value


def _texts(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _Wrong("a string")
    return tuple(texts)


def _token_ids(value: object) -> tuple[int, ...]:
    """A parameter holds one value, so several ids come as text."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        ids = tuple(int(part) for part in parts if not isinstance(part, bool | float))
    except (TypeError, ValueError):
        ids = ()
    if not ids or len(ids) != len(parts) or min(ids) < 0:
        raise _Wrong("a token id >= 0, or several as '1,2,3'")
    return ids


def _top_k(value: object) -> int:
    """-1 is all in other systems' words."""
    return max(_whole(-1)(value), 0)


def _one(value: object) -> int:
    if value != 1 or isinstance(value, bool):
        raise _Wrong("1, since a request has one answer")
    return 1


def _top_p(value: object) -> float:
    return max(_number(0, 1)(value), _TINY)


_SAMPLING: Mapping[str, str] = {
    "temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
    "repetition_penalty": "repetition_penalty", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty", "seed": "seed", "logprobs": "num_logprobs",
    "stop_token_ids": "stop_token_ids", "ignore_eos": "ignores_eos",
}  # fmt: skip
_TEXTS = frozenset({"stop", "cache_salt"})
_OBJECTIVE = _number(0)
_READ: Mapping[str, Read] = {
    "temperature": _number(0, 100),
    "top_k": _top_k,
    "top_p": _top_p,
    "min_p": _number(0, 1),
    "repetition_penalty": _number(0, 100, is_above=True),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "seed": _whole(-_MAX_WHOLE - 1),
    "logprobs": _whole(0, MAX_LOGPROBS),
    "stop_token_ids": _token_ids,
    "ignore_eos": _bool,
    "n": _one,
    "max_tokens": _whole(1),
    "stop": _texts,
    "include_stop_str_in_output": _bool,
    "skip_special_tokens": _bool,
    "add_special_tokens": _bool,
    "cache_salt": _text,
    "stream": _bool,
    "timeout": _number(0),
    "slo_ms": _OBJECTIVE,
    "ttft_ms": _OBJECTIVE,
    "tpot_ms": _OBJECTIVE,
    "priority": _whole(0),
    "triton_enable_empty_final_response": _bool,
}
