"""The keys of a fleet are for its owner only, and are found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.keys import ensure_keys, forget_keys, keys_path, read_keys
from vocabulary.errors import InvalidInput, RuntimeFailure


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_keys_are_made_once_and_found_again():
    keys = ensure_keys("f")
    assert ensure_keys("f") == keys == read_keys("f")
    assert keys_path("f").stat().st_mode & 0o777 == 0o600
    assert keys_path("f").parent.stat().st_mode & 0o077 == 0
    assert [one.name for one in keys_path("f").parent.iterdir()] == ["keys.json"]


def test_keys_are_forgotten_with_the_fleet():
    keys = ensure_keys("f")
    forget_keys("f")
    forget_keys("f")
    assert read_keys("f") is None
    assert ensure_keys("f") != keys


def test_keys_are_in_no_words_about_them():
    keys = ensure_keys("f")
    assert keys.fleet_key not in f"{keys} {keys!r}"
    assert keys.ray_token not in f"{keys} {keys!r}"


def test_keys_that_others_may_read_are_refused():
    ensure_keys("f")
    keys_path("f").chmod(0o640)
    with pytest.raises(InvalidInput, match="may be read by others") as caught:
        ensure_keys("f")
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"fleet_key": "a secret", "ray_token": 1}'])
def test_a_file_of_something_else_is_refused_and_not_quoted(text: str):
    ensure_keys("f")
    keys_path("f").write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_keys("f")
    assert "a secret" not in str(caught.value)


def test_where_nothing_can_be_written_the_reason_is_told():
    Path(".statmux").write_text("a file where the folder should be")
    with pytest.raises((RuntimeFailure, InvalidInput)) as caught:
        ensure_keys("f")
    assert "keys of the fleet" in str(caught.value)
