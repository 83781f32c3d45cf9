"""The axes of a sweep as people write them: `devices=8..64`, `rate_scale=0.5..4:0.5`, `slo_scale=1,2,5`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vocabulary.errors import InvalidInput

DEVICES = "devices"
SCALES = ("rate_scale", "slo_scale", "cv_scale")
AXES = (DEVICES, *SCALES)
# Points between the ends of a scale that has no step: equal ratios.
NUM_GEOMETRIC = 8
MAX_VALUES = 1000
# Beyond these a point says nothing about a cluster, and times of a trace lose their digits.
MIN_SCALE, MAX_SCALE = 1e-4, 1e4
# A plan for more devices is not searched (see `vocabulary.formats.deployment`).
MAX_DEVICES = 1_000_000
_FORMS = "write A..B, A..B:STEP or a list A,B,C"


@dataclass(frozen=True, slots=True)
class Sweep:
    """One axis and where to look on it: ascending, each value once. Devices are whole numbers."""

    axis: str
    values: tuple[float, ...]


def parse_sweep(text: str, *, node_devices: int, fixed_devices: int = 0) -> Sweep:
    """`AXIS=A..B[:STEP]` or `AXIS=A,B,...`. Raises InvalidInput with the text and what to write.

    Without a step, a range of devices is its ends and all whole nodes between (`fixed_devices` plus
    multiples of `node_devices`); a range of a scale is 8 points of equal ratio. A step counts from A.
    """
    where = f"--sweep {text}"
    axis, is_spelled, written = text.partition("=")
    axis = axis.strip()
    if not is_spelled or not written.strip():
        raise InvalidInput("no values given", where=where, hint=f"{_FORMS}, as in devices=8..64")
    if axis not in AXES:
        raise InvalidInput(f"there is no axis {axis!r}", where=where, hint=f"choose among {', '.join(AXES)}")
    if ".." in written:
        low, high, step = _range(axis, written, where)
        if step is not None:
            values = _stepped(low, high, step, where)
        elif axis == DEVICES:
            values = _whole_nodes(int(low), int(high), node_devices, fixed_devices)
        else:
            values = geometric(low, high, NUM_GEOMETRIC)
    else:
        values = tuple(_value(axis, part, where) for part in written.split(","))
    _check_count(len(values), where)
    return Sweep(axis, tuple(sorted(set(values))))


def parse_sweeps(texts: tuple[str, ...], *, node_devices: int, fixed_devices: int = 0) -> tuple[Sweep, ...]:
    """One sweep an axis. Raises InvalidInput for an axis that is named twice."""
    sweeps = tuple(
        parse_sweep(text, node_devices=node_devices, fixed_devices=fixed_devices) for text in texts
    )
    for number, sweep in enumerate(sweeps):
        if sweep.axis in {earlier.axis for earlier in sweeps[:number]}:
            hint = f"put all its values into one: {sweep.axis}=A,B,C"
            raise InvalidInput(f"{sweep.axis} is swept twice", where=f"--sweep {texts[number]}", hint=hint)
    return sweeps


def parse_at(text: str) -> tuple[str, float]:
    """`AXIS=VALUE`: where the base point stands on an axis. Raises InvalidInput."""
    where = f"--at {text}"
    axis, is_spelled, written = text.partition("=")
    axis = axis.strip()
    if not is_spelled or axis not in AXES:
        hint = f"write AXIS=VALUE with an axis among {', '.join(AXES)}"
        raise InvalidInput("this is no place on an axis", where=where, hint=hint)
    return axis, _value(axis, written, where)


def parse_within(text: str) -> tuple[int, int]:
    """`LO..HI` devices. Raises InvalidInput."""
    where = f"--within {text}"
    if ".." not in text or ":" in text:
        raise InvalidInput("this is no range", where=where, hint="write LO..HI devices, as in 8..128")
    low, high, _ = _range(DEVICES, text, where)
    return int(low), int(high)


def geometric(low: float, high: float, num_values: int) -> tuple[float, ...]:
    """From low to high in equal ratios, to four significant digits; the ends are as given."""
    if low == high:
        return (low,)
    ratio = high / low
    inner = (low * ratio ** (index / (num_values - 1)) for index in range(1, num_values - 1))
    return (low, *(float(f"{value:.4g}") for value in inner), high)


def _range(axis: str, written: str, where: str) -> tuple[float, float, float | None]:
    low_text, _, rest = written.partition("..")
    high_text, has_step, step_text = rest.partition(":")
    low, high = _value(axis, low_text, where), _value(axis, high_text, where)
    if low > high:
        raise InvalidInput(
            f"{low:g} is above {high:g}", where=where, hint="write the smaller end first: A..B with A <= B"
        )
    return low, high, _value(axis, step_text, where) if has_step else None


def _value(axis: str, text: str, where: str) -> float:
    is_devices = axis == DEVICES
    try:
        value = int(text) if is_devices else float(text)
    except ValueError:
        kind = "a whole number of devices" if is_devices else "a number"
        raise InvalidInput(f"{text.strip()!r} is not {kind}", where=where, hint=_FORMS) from None
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"{text.strip()} is not above 0", where=where, hint=_FORMS)
    if is_devices and value > MAX_DEVICES:
        message = f"{value} devices are too many; at most {MAX_DEVICES} are planned"
        raise InvalidInput(message, where=where, hint="check the number")
    if not (is_devices or MIN_SCALE <= value <= MAX_SCALE):
        message = f"{value:g} is no multiple that a point can have"
        raise InvalidInput(message, where=where, hint=f"stay between {MIN_SCALE:g} and {MAX_SCALE:g}")
    return value


def _stepped(low: float, high: float, step: float, where: str) -> tuple[float, ...]:
    # A hair more, so that 0.1..0.3:0.1 has its end.
    num_steps = math.floor((high - low) / step + 1e-9)
    _check_count(num_steps + 1, where)
    if isinstance(step, int):
        return tuple(low + index * step for index in range(num_steps + 1))
    return tuple(float(f"{low + index * step:.12g}") for index in range(num_steps + 1))


def _whole_nodes(low: int, high: int, node_devices: int, fixed_devices: int) -> tuple[int, ...]:
    first = fixed_devices + max(0, -((fixed_devices - low) // node_devices)) * node_devices
    return (low, *range(first, high + 1, node_devices), high)


def _check_count(num_values: int, where: str) -> None:
    if num_values > MAX_VALUES:
        raise InvalidInput(
            f"{num_values} points are too many; at most {MAX_VALUES}",
            where=where,
            hint="make the step larger",
        )
