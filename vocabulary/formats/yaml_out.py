"""Plain values -> YAML that people can read and diff."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import yaml


class _Dumper(yaml.CSafeDumper):
    """Also quotes text that YAML 1.2, and so our reader, would take for a number."""


_Dumper.add_implicit_resolver(
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
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case np.generic():
            return value.item()
        case _:
            return value
