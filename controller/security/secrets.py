"""Where the secrets of tokens are, and reading them. No message ever shows one."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vocabulary.errors import InvalidInput
from vocabulary.security import TokenSpec

_WHERE = "security.auth.tokens"
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Secret:
    """One token's. Its repr shows nothing."""

    token: TokenSpec
    text: str

    def __repr__(self) -> str:
        return f"Secret({self.token.name})"


@final
class SecretPlaces:
    """The places of all tokens' secrets. Relative paths start at `folder`."""

    def __init__(self, tokens: tuple[TokenSpec, ...], *, folder: str, environment: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._folder = folder
        self._environment = {
            token.secret_env: environment.get(token.secret_env, "")
            for token in tokens
            if token.secret_env is not None
        }

    def read(self) -> tuple[Secret, ...]:
        """Raises InvalidInput for one that is missing, empty, there twice, or that no header can carry."""
        taken: dict[str, str] = {}
        found = []
        for token in self._tokens:
            secret = Secret(token, self._text(token))
            if secret.text in taken:
                raise InvalidInput(
                    f"tokens {taken[secret.text]} and {token.name} have the same secret",
                    where=_WHERE,
                    hint="give every token a secret of its own",
                )
            taken[secret.text] = token.name
            found.append(secret)
        return tuple(found)

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when a file does. A file that is gone counts as one more change."""
        return tuple(map(_stamp, self._files()))

    def readable_by_others(self) -> tuple[Path, ...]:
        """Files that more than their owner may read or write."""
        return tuple(path for path in self._files() if path.exists() and path.stat().st_mode & _OTHERS)

    def _files(self) -> list[Path]:
        return [self._path(token.secret_file) for token in self._tokens if token.secret_file is not None]

    def _path(self, name: str) -> Path:
        return Path(self._folder, name)

    def _text(self, token: TokenSpec) -> str:
        if token.secret_env is not None:
            text, place = self._environment[token.secret_env], f"variable {token.secret_env}"
        else:
            assert token.secret_file is not None, token
            path = self._path(token.secret_file)
            text, place = _read(token, path), f"file {path}"
        text = text.strip()
        if not text:
            raise _wrong(token, f"{place} is empty or not there")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise _wrong(token, f"{place} has a character that no header can carry")
        return text


def _read(token: TokenSpec, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not text, or a path that no file can have
        raise _wrong(token, f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None


def _wrong(token: TokenSpec, message: str) -> InvalidInput:
    hint = "put the secret there, for example from `openssl rand -hex 32`, before the fleet starts"
    return InvalidInput(f"token {token.name}: {message}", where=_WHERE, hint=hint)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
