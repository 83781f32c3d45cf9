"""What can go wrong because of the world, with where, why and the remedy. Our own bugs are `assert`s."""

from __future__ import annotations


class StatmuxError(Exception):
    """One clear error: `message` holds the numbers, `where` the file, line or key path, `hint` the remedy."""

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class RuntimeFailure(StatmuxError):
    """Something that should have worked did not (a worker died, Ray did not start, a port is in use)."""


class InvalidInput(StatmuxError):
    """A file, flag or tensor is wrong; nothing was started."""

    exit_code = 2


class Infeasible(StatmuxError):
    """The request is well formed but cannot be met: the fleet does not fit, a requirement is unmet."""

    exit_code = 3


class Unreachable(StatmuxError):
    """No cluster or endpoint answers at the address."""

    exit_code = 4


class TimedOut(StatmuxError):
    """Waited as long as was asked for."""

    exit_code = 5
