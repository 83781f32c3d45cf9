"""Keys that are read, so that a file of a later version is valid, but change nothing in this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vocabulary.formats.shapes import Shape
from vocabulary.formats.untyped import is_dict, is_list, is_row


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Marks a key. Values in `same` (of the entry `by` of a mapping, when given) say what happens anyway."""

    same: tuple[object, ...] = ()
    by: str | None = None

    def matters(self, value: object) -> bool:
        """Whether someone who writes `value` should be told that nothing comes of it."""
        if is_dict(value):
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
    if not is_dict(value):
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
    elif is_dict(part) and is_dict(value):
        for key, item_value in value.items():
            yield from _inside(part.get(key), item_value, f"{path}.{key}")
    elif is_row(part) and is_list(value):
        for item, item_value in zip(part, value, strict=True):
            yield from _inside(item, item_value, f"{path}[]")
