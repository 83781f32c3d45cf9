"""The parts of a call, in order: reading it, its queue, stages and transfers, its prompt, its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from controller.tracing.record import CallRecord
from controller.tracing.span import Part, SpanEvent, Value, milliseconds
from vocabulary.placement import Group
from workers.work_times import StageTime, StepsTime, WorkTimes


def parts_of(record: CallRecord) -> Iterator[Part]:
    """In order of time. Their numbers count from 1."""
    if not isfinite(record.arrival_s):
        return
    number = 1
    if record.trace.asking.received_s < record.arrival_s:
        yield Part("receive", record.trace.asking.received_s, record.arrival_s)
        number += 1
    yield _queue(record)
    done = record.done
    if done is not None and done.times is not None and record.trace.tries:
        yield from _work(record, done.times, record.trace.tries[-1].group, number)


def _queue(record: CallRecord) -> Part:
    done = record.done
    is_begun = done is not None and isfinite(done.start_s)
    events = tuple(
        SpanEvent("forward", one.at_s, {"statmux.group": one.group.id}) for one in record.trace.tries
    )
    end_s = done.start_s if done is not None and is_begun else record.ended_s
    return Part("queue", record.arrival_s, end_s, events=events)


def _work(record: CallRecord, times: WorkTimes, group: Group, number: int) -> Iterator[Part]:
    """number: of the part before."""
    if times.prefill is None:
        yield from (_stage(one, group, below=0) for one in times.stages)
        return
    prefill: dict[str, Value] = {"statmux.tokens": record.input_tokens, **_steps(times.prefill)}
    if record.done is not None:
        prefill["statmux.cached_tokens"] = record.done.num_cached
    yield Part("prefill", times.prefill.start_s, times.prefill.end_s, prefill)
    yield from (_stage(one, group, below=number + 1) for one in times.stages)
    if times.decode is not None:
        drawn = 0 if record.tokens is None else record.tokens.num_tokens - record.num_samples
        decode: dict[str, Value] = {"statmux.tokens": max(drawn, 0), **_steps(times.decode)}
        yield Part("decode", times.decode.start_s, times.decode.end_s, decode)


def _steps(steps: StepsTime) -> dict[str, Value]:
    return {"statmux.steps": steps.num_steps, "statmux.stage_busy_ms": tuple(map(milliseconds, steps.busy_s))}


def _stage(one: StageTime, group: Group, *, below: int) -> Part:
    num_stages = group.config.pipeline
    if not one.is_transfer:
        devices = group.stage_devices(one.stage)
        told: dict[str, Value] = {"statmux.stage": one.stage, "statmux.devices": devices}
        return Part(f"stage {one.stage}", one.start_s, one.end_s, told, below=below)
    if one.stage == num_stages:
        return Part("transfer of results", one.start_s, one.end_s, below=below)
    told = {
        "statmux.from_devices": group.stage_devices(one.stage - 1),
        "statmux.to_devices": group.stage_devices(one.stage),
    }
    name = f"transfer {one.stage - 1} to {one.stage}"
    return Part(name, one.start_s, one.end_s, told, below=below)
