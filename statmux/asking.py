"""A running fleet asked through its control socket; what it answers with an error is raised here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controller.verbs.control import ask
from vocabulary.errors import (
    Infeasible,
    InvalidInput,
    RuntimeFailure,
    StatmuxError,
    TimedOut,
    Unreachable,
)

_KINDS = {kind.__name__: kind for kind in (Infeasible, InvalidInput, RuntimeFailure, TimedOut, Unreachable)}


def asked(path: Path, verb: str, *, timeout_s: float, **words: object) -> dict[str, Any]:
    """Its answer. Raises what the fleet says was wrong, Unreachable or TimedOut."""
    answer = ask(path, verb, timeout_s=timeout_s, **words)
    if "error" not in answer:
        return answer
    kind: type[StatmuxError] = _KINDS.get(str(answer.get("kind")), RuntimeFailure)
    raise kind(str(answer["error"]), where=answer.get("where"), hint=answer.get("hint"))
