"""Request parameters: `timeout` (µs), `slo_ms` and `priority` are read here, the rest is passed on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.calls import Parameter, Reason
from controller.grpc_v2.refusals import Refused

# grpc reports about 9e18 s left where the client set no deadline.
_NO_DEADLINE_S = 1e9


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the client asked for besides the answer. timeout_s and slo_s: None where it did not say."""

    timeout_s: float | None = None
    slo_s: float | None = None
    priority: int = 0
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


NO_WISHES = Wishes()


def deadline_of(time_remaining_s: float | None) -> float | None:
    """Seconds left by the gRPC deadline, None without one."""
    return None if time_remaining_s is None or time_remaining_s > _NO_DEADLINE_S else time_remaining_s


def earlier(first_s: float | None, second_s: float | None) -> float | None:
    """The smaller of two spans of which each may be absent."""
    if first_s is None or second_s is None:
        return second_s if first_s is None else first_s
    return min(first_s, second_s)


def values_of(request_parameters: Mapping[str, object]) -> dict[str, Parameter]:
    """What the parameters of a request hold. Raises Refused if one holds nothing."""
    return {name: _value(name, choice) for name, choice in request_parameters.items()}


def wishes_of(request_parameters: Mapping[str, object]) -> Wishes:
    """Read the parameters of a request. Raises Refused if one has the wrong kind of value."""
    values = values_of(request_parameters)
    timeout_us = _number(values, "timeout")
    slo_ms = _number(values, "slo_ms")
    return Wishes(
        timeout_s=timeout_us * 1e-6 if timeout_us else None,  # 0: no time-out, as in Triton
        slo_s=slo_ms * 1e-3 if slo_ms else None,
        priority=int(_number(values, "priority") or 0),
        parameters=values,
    )


def _value(name: str, choice: object) -> Parameter:
    kind = choice.WhichOneof("parameter_choice")
    if kind is None:
        raise Refused(Reason.INVALID_PARAMETER, f"parameter {name[:80]!r} has no value")
    return getattr(choice, kind)


def _number(values: Mapping[str, Parameter], name: str) -> float | None:
    value = values.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (is_number and math.isfinite(value) and value >= 0):
        return value
    raise Refused(
        Reason.INVALID_PARAMETER, f"parameter {name!r}: expected a number >= 0, got {str(value)[:40]!r}"
    )
