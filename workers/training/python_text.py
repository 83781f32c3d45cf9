"""The text to train on: the Python standard library's source, as a machine that runs Python has it."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.training.byte_tokenizer import END_OF_TEXT

# Tests and tables are large and unlike the rest.
LEFT_OUT = frozenset(
    {"encodings", "idle_test", "pydoc_data", "site-packages", "test", "tests", "turtledemo", "unidata"}
)
HELD_OUT_SHARE = 1 / 20


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids of all files, each followed by the end of text, in two parts that share no file.

    train, held_out: uint16 [tokens].
    """

    train: NDArray[np.uint16]
    held_out: NDArray[np.uint16]


def read_text(root: Path | None = None) -> Text:
    """The Python files under `root`; None: the standard library of this Python."""
    root = root or Path(sysconfig.get_paths()["stdlib"])
    train: list[bytes] = []
    held_out: list[bytes] = []
    for path in _files(root):
        is_held_out = _share_of(path.relative_to(root).as_posix()) < HELD_OUT_SHARE
        (held_out if is_held_out else train).append(path.read_bytes())
    assert train and held_out, f"{root} has {len(train)} files to train on and {len(held_out)} to hold out"
    return Text(_joined(train), _joined(held_out))


def windows(
    tokens: NDArray[np.uint16], *, count: int, length: int, draw: np.random.Generator
) -> NDArray[np.int32]:
    """int32 [count, length + 1]: stretches that begin anywhere."""
    starts = draw.integers(0, len(tokens) - length, count)
    return tokens[starts[:, None] + np.arange(length + 1)].astype(np.int32)


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*.py")):
        if not LEFT_OUT & set(path.relative_to(root).parts):
            yield path


def _share_of(name: str) -> float:
    """Evenly spread over [0, 1), and the same wherever Python lies."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


def _joined(files: list[bytes]) -> NDArray[np.uint16]:
    parts = [np.frombuffer(file, np.uint8).astype(np.uint16) for file in files]
    end = np.array([END_OF_TEXT], np.uint16)
    return np.concatenate([part for file in parts for part in (file, end)])
