"""Messages of the v2 protocol as the JSON that its REST form has, and its error bodies."""

from __future__ import annotations

from starlette.responses import Response

from controller.http.errors import STATUS, json_response, retry_headers
from controller.text import Refused


def error_response(refused: Refused) -> Response:
    """{"error": "..."}, with the status and the retry hints that the refusal has everywhere."""
    refusal = refused.refusal
    body = {"error": refusal.message}
    return json_response(body, status=STATUS[refusal.reason], headers=retry_headers(refusal))


def as_json(message: object) -> dict[str, object]:
    """Every field by its name, whatever it holds; numbers as numbers, enumerations by name."""
    return {field.name: _value(field, getattr(message, field.name)) for field in message.DESCRIPTOR.fields}


def _value(field: object, value: object) -> object:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_single(field, each) for each in value]
    return _single(field, value)


def _single(field: object, value: object) -> object:
    if field.message_type is not None:
        return as_json(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value
