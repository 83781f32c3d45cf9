"""`${VAR}` and `${VAR:-default}` in the values of a file; `$${VAR}` stands for itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?P<escape>\$)?\{(?P<name>[^}:]*)(?P<default>:-[^}]*)?\}")


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    """Raises LookupError, with a sentence, for a variable that is neither set nor defaulted."""

    def replaced(match: re.Match[str]) -> str:
        if match["escape"]:
            return match[0][1:]
        name, default = match["name"], match["default"]
        # As in a shell, `:-` also covers a variable that is set but empty.
        value = environment.get(name)
        if default is not None:
            return value or default[2:]
        if value is None:
            raise LookupError(f"environment variable {name} is not set")
        return value

    return _REFERENCE.sub(replaced, text)
