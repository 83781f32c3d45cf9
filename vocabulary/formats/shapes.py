"""What all file shapes share: scalar types, one clear error from pydantic's many, no unknown keys.

pydantic is imported here and in the shapes only, and these only when a file is read.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import Document, KeyPath, did_you_mean, show_path, show_value
from vocabulary.formats.untyped import is_dict
from vocabulary.units import parse_bandwidth, parse_bytes, parse_seconds

ShapeType = TypeVar("ShapeType", bound="Shape")


class Shape(BaseModel):
    """A mapping of a file: these keys and no others. `kind_name` is its name for `statmux schema`."""

    kind_name: ClassVar[str] = ""
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True, protected_namespaces=())


def spelled_out(key: str) -> BeforeValidator:
    """A shorthand: `admission: slo` is `admission: {mode: slo}`."""

    def spell_out(value: object) -> object:
        return value if is_dict(value) else {key: value}

    return BeforeValidator(spell_out, json_schema_input_type=Any)


def told(words: str) -> Any:
    """What a key means, for `statmux schema` and docs/reference/deployment-file.md."""
    return Field(description=words)


def check(shape: type[ShapeType], document: Document) -> ShapeType:
    """The document in its shape. Raises InvalidInput for the first problem, in the order of the file."""
    if not is_dict(document.value):
        message = f"should be a mapping of keys, found {show_value(document.value)}"
        raise document.error((), message, hint=_schema_hint(shape))
    _check_kind(shape, document, document.value.get("kind"))
    try:
        return shape.model_validate(document.value)
    except ValidationError as failure:
        problems = _in_order(failure.errors(include_url=False), document)
        raise _error(shape, document, problems[0], num_more=len(problems) - 1) from None


def _in_order(problems: list[ErrorDetails], document: Document) -> list[ErrorDetails]:
    """In the order of the file, but a missing key last: one that is misspelt tells more."""
    paths = [_path(problem) for problem in problems]
    real = [
        problem
        for problem in problems
        # A tuple whose items are wrong is called too short as well.
        if problem["type"] != "too_short" or not _is_inside(_path(problem), paths)
    ]
    return sorted(real, key=lambda problem: (problem["type"] == "missing", document.line(_path(problem))))


def _is_inside(path: KeyPath, others: list[KeyPath]) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in others)


def _check_kind(shape: type[Shape], document: Document, found: object) -> None:
    expected = shape.model_fields["kind"].default
    if found not in (None, expected):
        message = f"this is a {found}, where a {expected} is expected"
        raise document.error(("kind",), message, hint=f"pass a file of `kind: {expected}`")


def known_keys(shape: type[BaseModel], path: KeyPath) -> tuple[str, ...]:
    """Keys that the mapping at `path` may have; empty where it may have any."""
    current: type[BaseModel] | None = shape
    for part in path:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        current = _shape_in(field.annotation) if field is not None else None
    return tuple(current.model_fields) if current is not None else ()


def _shape_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _shape_in(part))), None)


def _path(problem: ErrorDetails) -> KeyPath:
    # pydantic marks a wrong key of a free mapping with one part more.
    return tuple(part for part in problem["loc"] if part != "[key]")


def _error(shape: type[Shape], document: Document, problem: ErrorDetails, *, num_more: int) -> InvalidInput:
    message, hint = _told(shape, problem)
    if num_more:
        message += f" (and {num_more} more after it)"
    return document.error(_path(problem), message, hint=hint)


def _told(shape: type[Shape], problem: ErrorDetails) -> tuple[str, str]:
    """Message and hint of one problem."""
    *parent, key = _path(problem) or ("",)
    found = show_value(problem["input"])
    context = problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            return "unknown key", did_you_mean(str(key), known_keys(shape, tuple(parent)))
        case "missing":
            inside = f" to `{show_path(tuple(parent))}`" if parent else ""
            return "is missing", f"add `{key}:`{inside}"
        case "literal_error":
            choices = context["expected"].replace("'", "")
            return f"unknown choice {found}", f"choose {choices}"
        case "value_error":
            error = context["error"]
            return str(error), error.hint if isinstance(error, _Wrong) else _schema_hint(shape)
        case "float_parsing" | "float_type" if _unit(key):
            return f"should be a number, found {found}", f"write {_unit(key)} as a plain number"
        case "string_type":
            return f"should be text, found {found}", "put it in quotes if it is meant as text"
        case "too_short":
            return "should not be empty", _schema_hint(shape)
        case kind:
            return f"should be {_EXPECTED.get(kind, problem['msg'])}{_bound(context)}, found {found}", (
                _schema_hint(shape)
            )


def _unit(key: str | int) -> str:
    """What a number counts, by the end of its key."""
    return next((unit for end, unit in _UNITS.items() if str(key).endswith(end)), "")


_UNITS = {"_ms": "milliseconds", "_s": "seconds", "_rps": "requests per second"}
_EXPECTED = {
    "model_type": "a mapping", "dict_type": "a mapping", "list_type": "a list", "tuple_type": "a list",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number", "float_type": "a number", "float_parsing": "a number",
    "finite_number": "a finite number", "bool_type": "true or false", "bool_parsing": "true or false",
    "greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than",
    "less_than_equal": "at most",
}  # fmt: skip


def _bound(context: dict[str, Any]) -> str:
    return next((f" {context[key]:g}" for key in ("gt", "ge", "lt", "le") if key in context), "")


def _schema_hint(shape: type[Shape]) -> str:
    return f"`statmux schema {shape.kind_name}` prints every key with its type"


class _Wrong(ValueError):
    """A value that a validator refuses, with the remedy."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise _Wrong(f"should be a number, found {show_value(value)}", "true and false are no numbers")
    return value


def _quantity(parse: Any) -> Any:
    def read(value: object) -> object:
        if not isinstance(value, str):
            return _not_bool(value)
        try:
            return parse(value)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise _Wrong(message, hint) from None
        except OverflowError:
            raise _Wrong(f"{show_value(value)} is too large", "check the exponent") from None

    return BeforeValidator(read)


def _name(text: str) -> str:
    if not text or text != text.strip():
        raise _Wrong("a name should not be empty or start or end with a space", _NAME_HINT)
    if any(not character.isprintable() or character in "/\\" for character in text) or text in (".", ".."):
        raise _Wrong(f"name {show_value(text)} has a path separator or a control character", _NAME_HINT)
    if len(text.encode()) > MAX_NAME_BYTES:
        raise _Wrong(f"name {show_value(text)} is longer than {MAX_NAME_BYTES} bytes", _NAME_HINT)
    return text


_NAME_HINT = "names become file names and URL parts: letters, digits, dots and dashes are safe"
MAX_NAME_BYTES = 200


def _size_schema(example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": [example]}
    )


Name = Annotated[str, AfterValidator(_name)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Whole = Annotated[int, BeforeValidator(_not_bool)]
NonNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[Whole, Field(ge=1)]
NaturalNumber = Annotated[Whole, Field(ge=0)]
Port = Annotated[Whole, Field(ge=0, le=65535)]
# A size may be 0, the memory of a device may not.
Size = Annotated[int, _quantity(parse_bytes), Field(ge=0), _size_schema("13GiB")]
Bytes = Annotated[int, _quantity(parse_bytes), Field(ge=1), _size_schema("13GiB")]
# Bytes per second, and seconds.
Bandwidth = Annotated[float, _quantity(parse_bandwidth), Field(gt=0), _size_schema("300GB/s")]
Seconds = Annotated[float, _quantity(parse_seconds), Field(ge=0), _size_schema("20us")]
