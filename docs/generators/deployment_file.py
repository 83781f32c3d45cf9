"""The page of the deployment file: every key with type, default and meaning, from the shapes."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import WithJsonSchema
from pydantic.fields import FieldInfo

from docs.generators.deployment_errors import errors
from docs.generators.markdown import code, notice, table
from vocabulary.formats.deployment_shape import DeploymentShape
from vocabulary.formats.no_effect import NoEffect
from vocabulary.formats.shapes import Shape

PROSE = """# Deployment file

One YAML file says what is served, on what, and by which policies. `statmux init` writes one, `statmux
validate` checks it, `statmux schema deployment` prints its JSON Schema for editors. Only `models` is
required, and of a model its `name` and one of `source` and `profile`.

- A key that is not here is refused, with the nearest that is.
- `${NAME}` is a variable of the environment, `${NAME:-words}` has words for when it is not set.
- `--set PATH=VALUE` overrides one key: `--set models.chat.slo.latency_ms=200`, models by name or position.
- Paths are relative to the file.
- Sizes are bytes or have a unit (`64MiB`, `16GB`), bandwidths bytes a second or `25Gb/s`, keys that end
  with `_s` are seconds, with `_ms` milliseconds, with `_rps` requests per second.

Where no default is given the key is not set, which is what `none` says. *No effect yet* marks what is read,
so that files of later versions are valid, and changes nothing; `statmux validate` names such keys.

"""
# Prose of a section, before its table.
SECTIONS = {
    "metadata": "",
    "cluster": "",
    "models": "A list. How to: [place](../how-to/place.md), [generation](../how-to/generation.md), "
    "[your own function](../how-to/parallelize.md), [profiles](../how-to/profiles.md), "
    "[versions side by side](../how-to/replace.md#versions-side-by-side), "
    "[models on demand](../how-to/replace.md#models-on-demand-scale-to-zero).",
    "serving": "How to: [fairness](../how-to/fairness.md), [prefix cache](../how-to/prefix-cache.md), "
    "[faults](../how-to/faults.md), [operate](../how-to/operate.md), "
    "[plans that follow the traffic](../how-to/replace.md#plans-that-follow-the-traffic). Why: "
    "[scheduling](../explanation/scheduling.md).",
    "placement": "How to: [place](../how-to/place.md), [replace](../how-to/replace.md). Why: "
    "[search](../explanation/search.md).",
    "endpoints": "What happens beyond each limit is in [security](../security.md#limits). How to: "
    "[OpenAI](../how-to/openai.md).",
    "observability": "See [metrics](metrics.md), [monitor](../how-to/monitor.md), "
    "[trace requests](../how-to/trace-requests.md) and "
    "[the journal](../how-to/operate.md#what-the-journal-keeps).",
    "security": "Tokens with their scopes, models and clamps are explained in "
    "[security](../security.md#tokens) and [tenants](../how-to/tenants.md).",
    "simulation": "See [trust in the simulator](../how-to/trust-the-simulator.md).",
}
HEADS = ("key", "default", "type", "meaning")
# One row and no further: what is below is told by its meaning, or is of a later version.
WHOLE = ("models[].versions",)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file: `path` as `models[].slo`, and the field of the shape that checks it."""

    path: str
    field: FieldInfo

    @property
    def row(self) -> list[str]:
        """As in the page."""
        meaning = (
            f"*No effect yet.* {self.field.description}"
            if has_no_effect(self.field)
            else self.field.description
        )
        return [code(self.path), default_words(self.field), type_words(self.field), meaning or ""]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping of the file: what it is for, and its keys that hold no further mapping."""

    path: str
    words: str
    keys: tuple[Key, ...]


def page() -> str:
    """The page reference/deployment-file.md."""
    top = [
        Key(name, field).row for name, field in DeploymentShape.model_fields.items() if name not in SECTIONS
    ]
    parts = [notice("deployment_file"), PROSE, table(HEADS, top)]
    for name, prose in SECTIONS.items():
        field = DeploymentShape.model_fields[name]
        parts.append(f"\n## {name}\n\n{field.description}{' ' * bool(prose)}{prose}\n")
        parts += (told(mapping) for mapping in mappings_of(field, name))
    return "".join([*parts, errors()])


def told(mapping: Mapping) -> str:
    """The table of a mapping; below a section with a heading and what it is for."""
    heading = f"\n### {mapping.path}\n\n{mapping.words}\n" if "." in mapping.path else ""
    return f"{heading}\n{table(HEADS, (key.row for key in mapping.keys))}" if mapping.keys else heading


def keys() -> Iterator[Key]:
    """Every key that has a row."""
    for name, field in DeploymentShape.model_fields.items():
        if name not in SECTIONS:
            yield Key(name, field)
            continue
        for mapping in mappings_of(field, name):
            yield from mapping.keys


def mappings_of(field: FieldInfo, path: str) -> Iterator[Mapping]:
    """The mapping at a path, then those in it."""
    shape = inner_shape(field, path)
    assert shape is not None, path
    inside = f"{path}[]" if is_list(field.annotation) else path
    # A model's own keys come before those that a version has too.
    fields = sorted(shape.model_fields.items(), key=lambda item: item[0] not in shape.__annotations__)
    held = [Key(f"{inside}.{name}", inner) for name, inner in fields]
    leaves = tuple(key for key in held if inner_shape(key.field, key.path) is None)
    yield Mapping(inside, field.description or "", leaves)
    for key in held:
        if key not in leaves:
            yield from mappings_of(key.field, key.path)


def inner_shape(field: FieldInfo, path: str) -> type[Shape] | None:
    """The mapping of ours that a key holds, where its keys have rows of their own."""
    return None if path in WHOLE or has_no_effect(field) else shape_in(field.annotation)


def has_no_effect(field: FieldInfo) -> bool:
    """Whether the key is only read."""
    return any(isinstance(mark, NoEffect) for mark in field.metadata)


def shape_in(annotation: Any) -> type[Shape] | None:
    """The mapping of ours within a type."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    return next((found for part in get_args(annotation) if (found := shape_in(part))), None)


def is_list(annotation: Any) -> bool:
    """Whether the mapping stands in a list."""
    if get_origin(annotation) is tuple:
        return True
    return any(is_list(part) for part in get_args(annotation) if not isinstance(part, str))


def default_words(field: FieldInfo) -> str:
    """The default as it would be written."""
    if field.is_required():
        return "required"
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.12g}"
        case tuple() | list():
            return f"[{', '.join(map(str, value))}]"
        case dict():
            return "{}" if not value else str(value)
        case _:
            return str(value)


def type_words(field: FieldInfo) -> str:
    """What may stand there."""
    words = words_of(field.annotation, tuple(field.metadata))
    return words[0].upper() + words[1:] if words[:1].isalpha() and not words.startswith("`") else words


def words_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """A type in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words_of(parts[0], (*parts[1:], *metadata))
    if example := next((one for one in metadata if isinstance(one, WithJsonSchema)), None):
        return f"a number, or as `{example.json_schema['examples'][0]}`"  # type: ignore[index]
    if origin in (Union, types.UnionType):
        return " or ".join(
            dict.fromkeys(words_of(part, metadata) for part in parts if part is not type(None))
        )
    if origin is Literal:
        return ", ".join(code(str(part).lower() if isinstance(part, bool) else part) for part in parts)
    if origin is tuple:
        return f"list of {plural(words_of(parts[0]))}"
    if origin is dict:
        return f"mapping to {plural(words_of(parts[1]))}"
    bounds = "".join(bounds_of(metadata))
    return f"{NAMES.get(annotation, 'mapping')}{bounds}"


NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "anything"}


def plural(words: str) -> str:
    """`whole numbers` for `whole number from 1`."""
    for one, many in (("whole number", "whole numbers"), ("number", "numbers"), ("text", "texts")):
        if words.startswith(one):
            return words.replace(one, many, 1)
    return words.replace("list of", "lists of", 1).replace("mapping", "mappings", 1)


def bounds_of(metadata: tuple[Any, ...]) -> Iterator[str]:
    """` from 1 to 64`, ` above 0`; of several bounds of a kind the closest."""
    flat = [part for mark in metadata for part in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
    lowest = [one.ge for one in flat if isinstance(one, Ge)]
    above = [one.gt for one in flat if isinstance(one, Gt)]
    highest = [one.le for one in flat if isinstance(one, Le)]
    below = [one.lt for one in flat if isinstance(one, Lt)]
    if lowest and (not above or max(lowest) > max(above)):
        yield f" from {max(lowest)}"
    elif above:
        yield f" above {max(above)}"
    if highest:
        yield f" to {min(highest)}"
    if below:
        yield f" below {min(below)}"
