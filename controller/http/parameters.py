"""Bodies to typed requests: what is unknown, unsupported or wrong is named, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from controller.calls import Reason
from controller.text.names import did_you_mean, short
from controller.text.refused import Refused

Body = TypeVar("Body", bound=msgspec.Struct)
# Parameters that exist at OpenAI or in vLLM and not here, with the values that ask for nothing.
Unsupported = Mapping[str, tuple[Any, ...]]


def parse(body: bytes, kind: type[Body], unsupported: Unsupported) -> Body:
    """The request in a JSON body. A parameter of null was not given. Raises Refused."""
    given = json_of(body)
    if not isinstance(given, dict):
        raise Refused(Reason.INVALID_REQUEST, "the body is not a JSON object")
    given = {name: value for name, value in given.items() if value is not None}
    check_names(given, kind.__struct_fields__, unsupported)
    for name in unsupported:
        given.pop(name, None)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise _wrong(error) from error


def json_of(body: bytes) -> Any:
    """Any JSON. Raises Refused."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body is not JSON: {error}" if body else "the body is empty; send a JSON object"
        raise Refused(Reason.INVALID_REQUEST, message) from error


def check_names(
    given: Mapping[str, Any], known: tuple[str, ...], unsupported: Unsupported, at: str = ""
) -> None:
    """Raises Refused for the first name that is not known, or not supported and asking for something."""
    for name, value in given.items():
        if name in known:
            continue
        if name not in unsupported:
            message = f"unknown parameter {at + short(name)!r}{did_you_mean(name, known)}"
            raise Refused(Reason.INVALID_PARAMETER, message, param=at + short(name), code="unknown_parameter")
        if not any(type(value) is type(neutral) and value == neutral for neutral in unsupported[name]):
            message = f"parameter {at + name!r} is not supported here{_instead(unsupported[name])}"
            raise Refused(Reason.INVALID_PARAMETER, message, param=at + name, code="unsupported_parameter")


def _instead(neutral: tuple[Any, ...]) -> str:
    if not neutral:
        return "; leave it out"
    return f"; leave it out, or send {' or '.join(msgspec.json.encode(value).decode() for value in neutral)}"


def _wrong(error: msgspec.ValidationError) -> Refused:
    """msgspec says: Expected `int`, got `str` - at `$.max_tokens`."""
    words, _, place = str(error).partition(" - at `$")
    param = place.removesuffix("`").lstrip(".") or None
    if param is None and words.startswith("Object missing required field"):
        param = words.split("`")[1]
    where = f"{param}: " if param else ""
    return Refused(Reason.INVALID_PARAMETER, where + words, param=param)
