"""docs/security.md names every key that there is, with its default, and tests that exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from vocabulary.formats.limits_shape import LimitsShape
from vocabulary.formats.security_shape import TlsShape, TokenShape
from vocabulary.limits import DEFAULT_LIMITS, Limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_key_is_on_the_page() -> None:
    keys = {*LimitsShape.model_fields, *TlsShape.model_fields, *TokenShape.model_fields}
    assert not [key for key in keys if not re.search(rf"`?{key}\b", PAGE)]


def test_limits_of_a_file_are_those_of_the_noun() -> None:
    assert LimitsShape().noun() == DEFAULT_LIMITS
    assert len(LimitsShape.model_fields) == len(fields(Limits))


def test_every_test_that_is_named_exists() -> None:
    """Names may end in `...`, and a file stands for all before it on the page that has its name."""
    named = re.findall(r"`((?:[\w/]+/)?test_\w+\.py)?(?:::(test_\w+))?(?:\.\.\.)?`", PAGE)
    known, last = "", ""
    for file, function in named:
        if not file and not function:
            continue
        if file:
            known = file if "/" in file else next(path for path in (last, known) if path.endswith(file))
            last = known
        path = ROOT / "tests" / known
        assert path.is_file(), known
        assert not function or re.search(rf"def {function}", path.read_text()), (known, function)
    assert len(named) > 10
