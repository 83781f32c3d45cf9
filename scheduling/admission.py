"""Whether a request is worth taking, given when it would finish."""

from __future__ import annotations

from collections.abc import Callable

from vocabulary.request import Request

# (request, predicted finish as the client sees it, slack) -> take it?
Admission = Callable[[Request, int, int], bool]


def admit_all(request: Request, finish_ns: int, slack_ns: int) -> bool:
    return True


def meet_slo(request: Request, finish_ns: int, slack_ns: int) -> bool:
    """Refuse at arrival what is predicted to end after it is due, less the slack (AlpaServe §4.3)."""
    return finish_ns + slack_ns <= request.due_ns


ADMISSION: dict[str, Admission] = {"none": admit_all, "slo": meet_slo}
