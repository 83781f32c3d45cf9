"""Keys that are read, so that a file of a later version is valid, but change nothing in this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vocabulary.formats.shapes import Shape


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Marks a key. Values in `same` (of the entry `by` of a mapping, when given) say what happens anyway."""

    same: tuple[object, ...] = ()
    by: str | None = None

    def matters(self, value: object) -> bool:
        """Whether someone who writes `value` should be told that nothing comes of it."""
        if isinstance(value, dict):
            if self.by is not None and value.get(self.by) in self.same:
                return False
            return any(item is not None for item in value.values())
        return value is not None and value != [] and value not in self.same


def keys_without_effect(shape: Shape, value: object) -> tuple[str, ...]:
    """Key paths, list positions left out (`models[].dtype`), each once, in the order of the shape.

    `value` is the mapping as it stood in the file.
    """
    return tuple(dict.fromkeys(_found(shape, value, "")))


def _found(shape: Shape, value: object, prefix: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return  # a shorthand
    for key, field in type(shape).model_fields.items():
        if key not in value:
            continue
        path = f"{prefix}.{key}" if prefix else key
        marks = [mark for mark in field.metadata if isinstance(mark, NoEffect)]
        if marks:
            if marks[0].matters(value[key]):
                yield path
            continue
        yield from _inside(getattr(shape, key), value[key], path)


def _inside(part: object, value: object, path: str) -> Iterator[str]:
    if isinstance(part, Shape):
        yield from _found(part, value, path)
    elif isinstance(part, dict) and isinstance(value, dict):
        for key, item_value in value.items():
            yield from _inside(part.get(key), item_value, f"{path}.{key}")
    elif isinstance(part, tuple) and isinstance(value, list):
        for item, item_value in zip(part, value, strict=True):
            yield from _inside(item, item_value, f"{path}[]")
