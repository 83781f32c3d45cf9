"""The page of endpoints: RPCs and messages from the proto descriptor, HTTP routes from the application."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from starlette.routing import Route

from controller.grpc_v2.access import OPEN_RPCS, SCOPES
from controller.grpc_v2.messages import POOL, SERVICE
from controller.http.admin import admin_routes
from controller.http.app import build_app
from controller.http.endpoint import LENGTH_HEADER, REQUEST_ID_HEADER, USERS, Endpoint, Front
from controller.http.v2 import v2_routes
from controller.http.wishes import LATENCY_HEADERS, TIMEOUT_HEADERS, TPOT_HEADERS, TTFT_HEADERS
from controller.live.routes import live_routes
from controller.tenants import AUTHORIZATION, TENANT_HEADERS
from controller.tracing.traceparent import TRACEPARENT, TRACESTATE
from docs.generators.markdown import code, notice, table

PROSE = """# Endpoints

| port | what | key |
| --- | --- | --- |
| 8000 | HTTP: OpenAI's API, v2 over REST, health, the live page, administration | `endpoints.http` |
| 8001 | gRPC: v2, `grpc.health.v1`, reflection | `endpoints.grpc` |
| 8002 | [metrics](metrics.md) | `observability.metrics` |

What the v2 calls mean is in [the v2 inference protocol](v2.md), what OpenAI's take in
[OpenAI](../how-to/openai.md), what is refused with which status in [errors](errors.md). The scope is what a
token must be for, where there are tokens ([security](../security.md#tokens)): one of those that are named.

## gRPC

`{service}`, as [inference.proto](../../controller/proto/inference.proto) has it; reflection tells it too.

"""
HEALTH = """
Besides, `grpc.health.v1.Health` answers `""` (readiness), `"liveness"` and `"model/NAME"`, open to
everybody. Clients send tokens as metadata `authorization: Bearer TOKEN`, and their patience as gRPC's
deadline.

### Messages

Fields with their numbers. Numbers and types are those of Open Inference Protocol and Triton, so that
clients of both work as they are.

"""
ROUTES = """
## HTTP

| scope | |
| --- | --- |
| open | for everybody |
| other words | for tokens of one of these scopes; for everybody where there are no tokens, `admin` on this machine only |

"""  # noqa: E501
HEADERS = """
### Headers of a call

"""


def page() -> str:
    """The page reference/endpoints.md."""
    service = POOL.FindServiceByName(SERVICE)
    file = service.file
    parts = [notice("endpoints"), PROSE.format(service=SERVICE)]
    parts.append(table(("RPC", "takes", "gives", "scope"), map(rpc_row, service.methods)))
    parts += [HEALTH, table(("message", "fields"), messages(file)), ROUTES]
    parts.append(table(("method", "path", "scope"), map(route_row, routes())))
    parts += [
        HEADERS,
        table(("header", "meaning"), ([", ".join(map(code, names)), words] for names, words in TAKEN)),
    ]
    return "".join(parts)


def rpc_row(method: Any) -> list[str]:
    """One RPC."""
    takes = f"{'stream of ' * method.client_streaming}{code(method.input_type.name)}"
    gives = f"{'stream of ' * method.server_streaming}{code(method.output_type.name)}"
    scopes = () if method.name in OPEN_RPCS else SCOPES.get(method.name, USERS)
    return [code(method.name), takes, gives, scope_words(scopes)]


def scope_words(scopes: tuple[str, ...]) -> str:
    return ", ".join(map(code, scopes)) or "open"


def messages(file: Any) -> Iterator[list[str]]:
    """Every message that has fields; those within others under their full name."""
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop(0)
        if message.GetOptions().map_entry:
            continue
        waiting[:0] = message.nested_types
        if message.fields:
            name = message.full_name.removeprefix(f"{file.package}.")
            yield [code(name), "<br>".join(field_words(field) for field in message.fields)]


def field_words(field: FieldDescriptor) -> str:
    """`name` = 1: type."""
    return f"`{field.name}` = {field.number}: {type_of(field)}"


def type_of(field: FieldDescriptor) -> str:
    """The type of a field, as in a .proto."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        key, value = kind.fields_by_name["key"], kind.fields_by_name["value"]
        return f"map of {type_of(key)} to {type_of(value)}"
    name = kind.name if kind is not None else field.enum_type.name if field.enum_type else NAMES[field.type]
    return f"repeated {name}" if field.is_repeated else name


NAMES = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def routes() -> Iterator[Route]:
    """All of a fleet, without one: routes only keep what they are given."""
    front = cast(Front, SimpleNamespace(tenants=SimpleNamespace(ask_for_tokens=True)))
    further = [*v2_routes(front), *admin_routes(dict)(front), *live_routes(dict)(front)]
    for route in build_app(front, routes=further).routes:
        if isinstance(route, Route) and route.methods:
            yield route


def route_row(route: Route) -> list[str]:
    """One route."""
    endpoint = cast(Endpoint, route.endpoint)
    methods = sorted((route.methods or set()) - {"HEAD"})
    path = route.path.replace(":path", "")
    return [", ".join(methods), code(path), scope_words(endpoint.open_to)]


TAKEN = (
    ((AUTHORIZATION,), "`Bearer TOKEN`. In gRPC metadata too"),
    (
        TENANT_HEADERS,
        "whose the call is, where that is trusted; the first that is there. In gRPC metadata too",
    ),
    (TTFT_HEADERS, "objective of the first token, milliseconds; the second name is an older one"),
    (TPOT_HEADERS, "objective of each token after it, milliseconds"),
    (LATENCY_HEADERS, "objective of the whole answer, milliseconds"),
    (TIMEOUT_HEADERS, "how long the client waits, milliseconds"),
    (
        (TRACEPARENT, TRACESTATE),
        "W3C's: the caller's trace, which the call belongs to. In gRPC metadata too "
        "([trace requests](../how-to/trace-requests.md))",
    ),
    ((REQUEST_ID_HEADER,), "an id for `statmux explain`; drawn without it. Every reply tells it"),
    ((LENGTH_HEADER,), "of v2: how many bytes of the body are JSON; binary tensors follow"),
)
