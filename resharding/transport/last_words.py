"""When a channel ends, members that no link leads to yet hear it too, and need not wait for a time-out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable

from resharding.transport.dialing import Call, Dialer
from resharding.transport.links import LinkLost


def spread(why: str, call: Call, dialer: Dialer, *, reached: Iterable[int]) -> None:
    """Tells all others of the group, each in a thread that ends by the time-out of its link.

    reached: who knows already. Whoever has not opened the group yet hears it when it does.
    """
    knowing = {call.place, *reached}
    for place in range(len(call.group)):
        if place not in knowing:
            arguments = (why, call, dialer, place)
            threading.Thread(target=_tell, args=arguments, name="statmux-last-words", daemon=True).start()


def _tell(why: str, call: Call, dialer: Dialer, place: int) -> None:
    # Who is gone, or has ended the channel as well, needs no word.
    with contextlib.suppress(LinkLost):
        link = dialer.dial(call.group[place], call)
        link.abort(why, epoch=call.epoch)
        link.close()
