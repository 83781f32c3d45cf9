"""What a journal keeps: one line for each request that was answered, and one for each decision or fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

SERVED = "served"


# A struct of msgspec, since one is made for every request (docs/decisions/0006-messages-are-structs.md).
class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """One request and its answer.

    request_id: as its client sees it. unix_s: when it arrived; all other times are seconds from then.
    fate: "served", or why not: the value of a `Reason` or of a `Fate`. words: what its client was told.
    group: which answered or had it last, "" for none. predicted_latency_s: when it was given to that group;
    None if it never was. slo_s, timeout_s: None for none. queue_s: until a group began to work on it.
    num_tries: groups that it was given to, one after the other.
    """

    request_id: str
    model: str
    unix_s: float
    latency_s: float
    fate: str = SERVED
    words: str = ""
    tenant: str = ""
    group: str = ""
    predicted_latency_s: float | None = None
    slo_s: float | None = None
    timeout_s: float | None = None
    queue_s: float | None = None
    num_tries: int = 1
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One decision or fault. words: what is to be known of it, in names and numbers."""

    unix_s: float
    kind: str
    group: str = ""
    model: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)
