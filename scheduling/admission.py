"""Whether a request is worth taking, given when it would finish."""

from __future__ import annotations

from collections.abc import Callable

from vocabulary.request import Request

# (request, predicted finish as the client sees it, slack) -> take it?
Admission = Callable[[Request, float, float], bool]


def admit_all(request: Request, finish_s: float, slack_s: float) -> bool:
    return True


def meet_slo(request: Request, finish_s: float, slack_s: float) -> bool:
    """Refuse at arrival what is predicted to end after it is due, less the slack (AlpaServe §4.3)."""
    return request.is_in_time(finish_s + slack_s)


def meet_token_slos(request: Request, first_token_s: float, finish_s: float, slack_s: float) -> bool:
    """As `meet_slo`, of a request that generates: its first token and its pace count as well."""
    in_time = meet_slo(request, finish_s, slack_s)
    return in_time and request.keeps_pace(first_token_s + slack_s, finish_s + slack_s)


ADMISSION: dict[str, Admission] = {"none": admit_all, "slo": meet_slo}
