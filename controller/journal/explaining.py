"""What a journal says of one request, and of what was decided, in sentences. Pure: lines in, words out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.journal.lines import SERVED, EventLine, RequestLine
from controller.journal.told_reasons import MEANINGS

# Kinds of events that say which groups take requests of a model, as `controller.life.supervisor` writes them.
REPLICA_KINDS = ("started", "open", "close", "stop", "group_lost")
# An event so long before a request, or after its answer, may have to do with it.
AROUND_S = 5.0


@dataclass(frozen=True, slots=True)
class Context:
    """Events that a request may have to do with, all in order of time.

    replicas: those of REPLICA_KINDS before it arrived. plan: what was wanted then, if that is known.
    around: others, shortly before it arrived until shortly after its end.
    """

    replicas: Sequence[EventLine] = ()
    plan: EventLine | None = None
    around: Sequence[EventLine] = ()


def explained(line: RequestLine, context: Context) -> tuple[str, ...]:
    """Why it was answered as it was, why there, and when."""
    return tuple(
        filter(
            None,
            (
                _arrival(line),
                _end(line),
                *_objectives(line),
                _prediction(line),
                _place(line, context),
                _tries(line),
                MEANINGS.get(line.fate, "") if line.fate != SERVED else "",
                _plan(line, context.plan),
            ),
        )
    )


def open_groups(model: str, events: Iterable[EventLine]) -> tuple[str, ...] | None:
    """Groups that took requests of the model after these events; None if they say nothing of it."""
    found: dict[str, None] | None = None
    for event in events:
        models = event.words.get("models", ())
        match event.kind:
            case "started":
                found = None
            case "open" if model in models:
                found = (found or {}) | {event.group: None}
            case "close" if model in models and found:
                found.pop(event.group, None)
            case "stop" | "group_lost" if found:
                found.pop(event.group, None)
    return None if found is None else tuple(sorted(found))


def event_sentence(event: EventLine) -> str:
    """One line, with the time before it."""
    return f"{clock_time(event.unix_s)}  {_event_words(event)}"


def clock_time(unix_s: float) -> str:
    """As 2026-11-21 22:17:05.123, UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _arrival(line: RequestLine) -> str:
    by = f" of tenant {line.tenant}" if line.tenant else ""
    over = f" over {line.protocol}" if line.protocol else ""
    named = line.request_id or "without an id"
    model = f"for {line.model}" if line.model else "for no model that is known"
    return f"Request {named} {model}{by} came{over} at {clock_time(line.unix_s)} UTC."


def _end(line: RequestLine) -> str:
    after = _ms(line.latency_s)
    if line.fate != SERVED:
        told = f": {line.words}" if line.words else ""
        where = f" by group {line.group}" if line.group else ""
        return f"It was not served ({line.fate}){where}, after {after}{told}."
    if line.queue_s is None:
        return f"Group {line.group} served it in {after}."
    rest = _ms(line.latency_s - line.queue_s)
    return f"Group {line.group} served it in {after}: it waited {_ms(line.queue_s)} and ran {rest}."


def _objectives(line: RequestLine) -> Iterable[str]:
    if line.slo_s is not None and line.fate == SERVED:
        left_s = line.slo_s - line.latency_s
        kept = f"kept, with {_ms(left_s)} left" if left_s >= 0 else f"missed by {_ms(-left_s)}"
        yield f"Its SLO of {_ms(line.slo_s)} was {kept}."
    elif line.slo_s is not None:
        yield f"Its SLO was {_ms(line.slo_s)}."
    if line.timeout_s is not None:
        yield f"Its client would have waited {_ms(line.timeout_s)}."


def _prediction(line: RequestLine) -> str:
    if line.predicted_latency_s is None:
        return "" if line.fate == SERVED or line.num_tries == 0 else "It was never given to a group."
    said = f"When it was given to {line.group or 'a group'}, its end was predicted after"
    predicted = f"{said} {_ms(line.predicted_latency_s)}"
    if line.fate != SERVED or line.predicted_latency_s <= 0:
        return f"{predicted}."
    return f"{predicted}; it took {line.latency_s / line.predicted_latency_s:.2f} of that."


def _place(line: RequestLine, context: Context) -> str:
    groups = open_groups(line.model, context.replicas)
    if groups is None or not line.model:
        return ""
    router = _router(context.replicas)
    if not groups:
        return f"No group was open for {line.model} when it came."
    if line.group not in groups:
        return f"Open for {line.model} when it came: {', '.join(groups)}."
    if len(groups) == 1:
        return f"It went to {line.group} since no other group was open for {line.model}."
    others = ", ".join(one for one in groups if one != line.group)
    return f"It went to {line.group} by {router}; also open for {line.model}: {others}."


def _router(events: Sequence[EventLine]) -> str:
    """Of the fleet's last start."""
    for event in reversed(events):
        if event.kind == "started" and "router" in event.words:
            return f"the router {event.words['router']}"
    return "the fleet's router"


def _tries(line: RequestLine) -> str:
    if line.num_tries < 2:
        return ""
    before = "the first was lost before it had begun"
    return f"It was given to {line.num_tries} groups, one after the other: {before}."


def _plan(line: RequestLine, plan: EventLine | None) -> str:
    if plan is None or not line.model:
        return ""
    holders = [group for group, models in plan.words.get("groups", {}).items() if line.model in models]
    placed = f"has {line.model} on {', '.join(holders)}" if holders else f"does not place {line.model}"
    why = f" ({plan.words['why']})" if plan.words.get("why") else ""
    return f"The plan since {clock_time(plan.unix_s)}{why} {placed}."


def _event_words(event: EventLine) -> str:
    words, group = event.words, event.group
    models = ", ".join(map(str, words.get("models", ())))
    why = f": {words['why']}" if words.get("why") else ""
    match event.kind:
        case "plan":
            return f"a plan is wanted{why}: {_groups(words.get('groups', {}))}"
        case "group_lost":
            return f"group {group} was lost{why}"
        case "group_given_up":
            return f"group {group} was given up{why}"
        case "started":
            begun = "took over from one that died" if words.get("resumed") else "started"
            return f"the controller {begun}; the router is {words.get('router', 'not known')}"
        case "devices":
            told = ((words.get("gone"), "gone"), (words.get("come"), "there"))
            return "devices: " + "; ".join(f"{', '.join(ids)} {what}" for ids, what in told if ids)
        case "converged":
            return "what runs is what is wanted"
        case "start" | "stop":
            return f"group {group} is to {event.kind} ({models})"
        case "load" | "unload":
            return f"group {group} is to {event.kind} {models}"
        case "open" | "close":
            return f"group {group} is {event.kind.rstrip('e')}ed for {models}"
        case kind:
            where = " ".join(filter(None, (group, event.model)))
            told = ", ".join(
                f"{key} {_short(value)}" for key, value in words.items() if value not in ("", None, [])
            )
            return f"{kind.replace('_', ' ')}{' ' + where if where else ''}{': ' + told if told else ''}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _groups(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{group} {', '.join(models)}" for group, models in groups.items()) or "nothing"


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
