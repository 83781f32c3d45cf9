"""The one interface that matters: a pure decision maker between a shell and the world.

Events are observed, then one `decide` answers for the instant. Within an instant the order of events does not
matter: a machine keeps its queues by (arrival_s, id) and acts only in `decide`.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Event = TypeVar("Event", contravariant=True)
Command = TypeVar("Command")


class Machine(Protocol[Event, Command]):
    """The shell calls: observe* -> decide -> perform the commands.

    Same construction, same events at the same times => same commands. A machine never reads a clock, sleeps,
    logs, or draws a random number that it was not given.
    """

    def observe(self, event: Event) -> None:
        """Record what happened; O(log n); decides nothing."""

    def decide(self, now_s: float) -> list[Command]:
        """All that this instant asks for, in the order to perform it."""
        ...

    @property
    def wake_s(self) -> float:
        """Call decide() again by then; NEVER_S when only an event can change anything."""
        ...
