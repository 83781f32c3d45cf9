"""The end of a call that cannot be taken as it is, before any fleet has seen it."""

from __future__ import annotations

from controller.calls import Reason, Refusal

# What OpenAI's clients look for where a prompt is too long.
CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"


class Refused(Exception):
    """Ends one call with `refusal`; endpoints catch it.

    param: which part of the client's request it is about. code: a finer word than the reason, as OpenAI has.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, message, retry_after_s)
        self.param = param
        self.code = code
