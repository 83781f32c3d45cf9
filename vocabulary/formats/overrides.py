"""`--set PATH=VALUE`: keys of a deployment overridden before it is validated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import Document, KeyPath, did_you_mean, show_path, show_value
from vocabulary.formats.untyped import is_dict, is_list
from vocabulary.formats.yaml_text import read_yaml

# Python itself refuses to read a number of some thousands.
_MAX_DIGITS = 9


def override(
    document: Document, settings: Sequence[str], *, shorthands: Mapping[tuple[str, ...], str]
) -> Document:
    """`document` with every `PATH=VALUE` applied, later ones last; VALUE is YAML.

    A PATH has dots; an entry of a list is its index or its `name` (`models.m0.slo.latency_ms`, `models[0]`).
    `shorthands`: where a plain value stands for a mapping with that one key. Raises InvalidInput.
    """
    overrides: dict[KeyPath, str] = dict(document.overrides)
    value = document.value
    for setting in settings:
        flag = f"--set {setting}"
        keys, text = _parsed(setting, flag)
        path, value = _set(value, keys, _value(text, flag), (), flag, shorthands)
        overrides[path] = flag
    return replace(document, value=value, overrides=overrides)


def _value(text: str, flag: str) -> object:
    if not text:
        return None
    try:
        return read_yaml(text, name=flag).value
    except InvalidInput as error:
        hint = "the value is YAML; quote it for your shell"
        raise InvalidInput(error.message, where=flag, hint=hint) from None


def _parsed(setting: str, flag: str) -> tuple[list[str], str]:
    path, equals, text = setting.partition("=")
    keys = [key for key in re.split(r"\.|\[|\]", path.strip()) if key]
    if not equals or not keys:
        hint = "write --set PATH=VALUE, as in --set serving.policy.queue=edf"
        raise InvalidInput("there is no PATH=VALUE in it", where=flag, hint=hint)
    return keys, text.strip()


def _set(
    value: object,
    keys: list[str],
    new: object,
    path: KeyPath,
    flag: str,
    shorthands: Mapping[tuple[str, ...], str],
) -> tuple[KeyPath, object]:
    """The full path that `keys` mean, and a copy of `value` with `new` there."""
    if not keys:
        return path, new
    if is_list(value):
        index, rest = _position(value, keys, path, flag)
        full, item = _set(value[index], rest, new, (*path, index), flag, shorthands)
        return full, [*value[:index], item, *value[index + 1 :]]
    mapping = _mapping(value, path, flag, shorthands)
    full, item = _set(mapping.get(keys[0]), keys[1:], new, (*path, keys[0]), flag, shorthands)
    return full, {**mapping, keys[0]: item}


def _mapping(
    value: object, path: KeyPath, flag: str, shorthands: Mapping[tuple[str, ...], str]
) -> dict[str, object]:
    if value is None:
        return {}
    if is_dict(value):
        return value
    shorthand = shorthands.get(tuple("*" if isinstance(part, int) else part for part in path))
    if shorthand is None:
        message = f"{show_path(path)} is {show_value(value)}, so nothing can be set inside it"
        raise InvalidInput(message, where=flag, hint=f"set {show_path(path)} itself")
    return {shorthand: value}


def _position(value: list[object], keys: list[str], path: KeyPath, flag: str) -> tuple[int, list[str]]:
    """Index of the entry that the first keys name, and the keys after it. Names may hold dots."""
    names = {
        name: index
        for index, entry in enumerate(value)
        if is_dict(entry) and isinstance(name := entry.get("name"), str)
    }
    for length in range(len(keys), 0, -1):
        index = names.get(".".join(keys[:length]))
        if index is not None:
            return index, keys[length:]
    is_index = keys[0].isdecimal() and len(keys[0]) <= _MAX_DIGITS
    if is_index and int(keys[0]) < len(value):
        return int(keys[0]), keys[1:]
    message = f"{show_path(path)} has no entry {keys[0]}; it has {len(value)}"
    hint = did_you_mean(keys[0], tuple(names))
    raise InvalidInput(message, where=flag, hint=hint)
