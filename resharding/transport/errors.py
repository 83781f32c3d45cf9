"""What a transfer that did not happen says."""

from __future__ import annotations

from vocabulary.errors import StatmuxError

_HINT = (
    "see whether the process there is alive and runs; then open the group again with a higher epoch, without "
    "it if it is gone; on a slow link give a larger timeout_s"
)


class TransferFailed(StatmuxError):
    """Some of a transfer did not arrive, so none of it may be used; its channel is of no more use.

    peer: who was to send or take it. tag: of the transfer, None if none was under way. timeout_s: how long
    nothing may happen.
    """

    def __init__(
        self,
        why: str,
        *,
        peer: str,
        tag: int | None,
        done_bytes: int,
        total_bytes: int,
        timeout_s: float,
        hint: str = _HINT,
    ) -> None:
        what = f"transfer {tag} with {peer}" if tag is not None else f"channel to {peer}"
        message = f"{what} failed after {done_bytes} of {total_bytes} bytes: {why} (time-out {timeout_s:g} s)"
        super().__init__(message, hint=hint)
        self.why = why
        self.peer = peer
        self.tag = tag
        self.done_bytes = done_bytes
        self.total_bytes = total_bytes
        self.timeout_s = timeout_s

    def __reduce__(self) -> tuple:
        """Errors travel between processes, and keyword arguments do not on their own."""
        fields = (self.peer, self.tag, self.done_bytes, self.total_bytes, self.timeout_s, self.hint)
        return (_again, (self.why, *fields))

    def again(self) -> TransferFailed:
        """The same error to raise in another thread: a raised one gathers the stack of its own."""
        return _again(*self.__reduce__()[1])


def _again(
    why: str, peer: str, tag: int | None, done_bytes: int, total_bytes: int, timeout_s: float, hint: str
) -> TransferFailed:
    return TransferFailed(
        why,
        peer=peer,
        tag=tag,
        done_bytes=done_bytes,
        total_bytes=total_bytes,
        timeout_s=timeout_s,
        hint=hint,
    )
