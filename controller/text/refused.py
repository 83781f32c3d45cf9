"""The end of a call that cannot be taken as it is, before any fleet has seen it."""

from __future__ import annotations

from controller.calls import Reason, Refusal


class Refused(Exception):
    """Ends one call with `refusal`; endpoints catch it.

    param: which part of the client's request it is about. code: a finer word than the reason, as OpenAI has.
    is_counted: the fleet's metrics and journal have it already.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        is_counted: bool = False,
        call_id: str = "",
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, message, retry_after_s, call_id)
        self.param = param
        self.code = code
        self.is_counted = is_counted


def by_fleet(refusal: Refusal) -> Refused:
    """What a fleet said to a call that came to it."""
    return Refused(
        refusal.reason,
        refusal.message,
        retry_after_s=refusal.retry_after_s,
        is_counted=True,
        call_id=refusal.call_id,
    )
