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
from vocabulary.units import parse_bandwidth, parse_bytes, parse_seconds

ShapeType = TypeVar("ShapeType", bound="Shape")


class Shape(BaseModel):
    """A mapping of a file: these keys and no others. `kind_name` is its name for `statmux schema`."""

    kind_name: ClassVar[str] = ""
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True, protected_namespaces=())


def check(shape: type[ShapeType], document: Document) -> ShapeType:
    """The document in its shape. Raises InvalidInput for the first problem, in the order of the file."""
    if not isinstance(document.value, dict):
        message = f"should be a mapping of keys, found {show_value(document.value)}"
        raise document.error((), message, hint=_schema_hint(shape))
    _check_kind(shape, document, document.value.get("kind"))
    try:
        return shape.model_validate(document.value)
    except ValidationError as failure:
        problems = failure.errors(include_url=False)
        problems.sort(key=lambda problem: document.line(_path(problem)))
        raise _error(shape, document, problems[0], num_more=len(problems) - 1) from None


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
            return str(context["error"]), _schema_hint(shape)
        case "string_type":
            return f"should be text, found {found}", "put it in quotes if it is meant as text"
        case "too_short":
            return "should not be empty", _schema_hint(shape)
        case kind:
            return f"should be {_EXPECTED.get(kind, problem['msg'])}{_bound(context)}, found {found}", (
                _schema_hint(shape)
            )


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


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"should be a number, found {show_value(value)}")
    return value


def _quantity(parse: Any) -> Any:
    def read(value: object) -> object:
        return parse(value) if isinstance(value, str) else _not_bool(value)

    return BeforeValidator(read)


def _name(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError("a name should not be empty or start or end with a space")
    if any(not character.isprintable() or character in "/\\" for character in text) or text in (".", ".."):
        raise ValueError(f"name {show_value(text)} has a path separator or a control character")
    if len(text.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"name {show_value(text)} is longer than {MAX_NAME_BYTES} bytes")
    return text


# Names become file names (sockets, profiles), metric labels and URL parts.
MAX_NAME_BYTES = 200


def _size_schema(example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": [example]}
    )


Name = Annotated[str, AfterValidator(_name), Field(min_length=1, max_length=MAX_NAME_BYTES)]
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
Bandwidth = Annotated[float, _quantity(parse_bandwidth), Field(gt=0), _size_schema("300GB/s")]
Seconds = Annotated[float, _quantity(parse_seconds), Field(ge=0), _size_schema("20us")]
