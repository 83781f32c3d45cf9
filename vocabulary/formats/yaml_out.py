"""Plain values -> YAML that people can read and diff."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import yaml

from vocabulary.formats.untyped import is_mapping, is_row


class _Dumper(yaml.CSafeDumper):
    """Also quotes text that YAML 1.2, and so our reader, would take for a number."""


# PyYAML has no types for what resolves a scalar.
_Dumper.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    [*"-+.0123456789"],
)


def format_yaml(value: object) -> str:
    """Mappings keep their order; lists and mappings of scalars stand on one line."""
    return yaml.dump(
        plain(value), Dumper=_Dumper, default_flow_style=None, sort_keys=False, width=110, allow_unicode=True
    )


def plain(value: object) -> object:
    """Mappings as dicts, sequences as lists, numpy scalars as numbers."""
    if is_mapping(value):
        return {str(key): plain(item) for key, item in value.items()}
    if is_row(value):
        return [plain(item) for item in value]
    scalar: Any = value
    return scalar.item() if isinstance(value, np.generic) else scalar
