"""Reads `config.json` as Hugging Face writes it; errors name the file and the key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vocabulary.errors import InvalidInput
from vocabulary.formats.untyped import is_mapping


@dataclass(frozen=True, slots=True)
class HubConfig:
    """The keys of one config.json. A key that is missing and has no default raises InvalidInput."""

    values: Mapping[str, object]
    where: str

    def count(self, key: str, default: int | None = None) -> int:
        """A positive whole number."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidInput(f"{key} is {value!r}, not a positive whole number", where=self.where)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidInput(f"{key} is {value!r}, not a number", where=self.where)
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise InvalidInput(f"{key} is {value!r}, not true or false", where=self.where)
        return value

    def choice(self, key: str, options: Collection[str], default: str | None = None) -> str:
        value = self._get(key, default)
        if value not in options:
            raise InvalidInput(
                f"{key} is {value!r}; implemented: {', '.join(sorted(options))}", where=self.where
            )
        return str(value)

    def section(self, key: str) -> HubConfig:
        """A nested object; empty when missing or null."""
        value: object = self.values.get(key) or {}
        if not is_mapping(value):
            raise InvalidInput(f"{key} is {value!r}, not an object", where=self.where)
        return HubConfig(value, f"{self.where}: {key}")

    def only(self, key: str, *implemented: object) -> None:
        """Refuse a model that sets `key` to anything else: it would run, and answer wrongly."""
        value = self.values.get(key)
        if value is not None and value not in implemented:
            wanted = " or ".join(map(repr, implemented)) or "unset"
            raise InvalidInput(f"{key} is {value!r}; only {wanted} is implemented", where=self.where)

    def _get(self, key: str, default: object) -> object:
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise InvalidInput(f"{key} is missing", where=self.where)
        return value


def divide(whole_name: str, whole: int, parts_name: str, parts: int, *, where: str) -> int:
    """whole / parts; InvalidInput with both names and numbers when it does not divide."""
    if whole % parts:
        raise InvalidInput(f"{whole_name} {whole} is not a multiple of {parts_name} {parts}", where=where)
    return whole // parts
