"""The v2 inference protocol over REST. What gRPC says in messages is said in JSON here, by the same code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

from starlette.responses import Response
from starlette.routing import Route

from controller.calls import Reason
from controller.grpc_v2.describe import Description
from controller.grpc_v2.messages import message_class
from controller.http.endpoint import USERS, Answering, Asked, Endpoint, Front
from controller.http.errors import json_response
from controller.http.parameters import json_of
from controller.http.v2_bodies import as_json, error_response
from controller.http.v2_infer import PROTOCOL, V2Inference
from controller.text import Refused
from controller.text.names import short
from vocabulary.security import ADMIN, INFER

# What REST has besides.
EXTENSIONS = ("binary_tensor_data", "generate")
_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"
Rpc = Callable[[object], Awaitable[object]]


def v2_routes(front: Front) -> list[Route]:
    """Everything under /v2. Only whether the server lives and is ready is told without a token."""
    described, inference = _Described(), V2Inference()
    routes = [
        _route(front, "GET", "/v2/health/live", described.live, is_open=True),
        _route(front, "GET", "/v2/health/ready", described.ready, is_open=True),
        _route(front, "GET", "/v2", described.server),
        _route(front, "GET", "/v2/models/stats", described.statistics),
        _route(front, "POST", "/v2/repository/index", described.index),
        _route(front, "POST", "/v2/repository/models/{model}/load", described.load, scopes=(ADMIN,)),
        _route(front, "POST", "/v2/repository/models/{model}/unload", described.unload, scopes=(ADMIN,)),
    ]
    for path in (_MODEL, _VERSION):
        routes += [
            _route(front, "GET", path, described.model),
            _route(front, "GET", f"{path}/ready", described.model_ready),
            _route(front, "GET", f"{path}/config", described.config),
            _route(front, "GET", f"{path}/stats", described.statistics),
            _inferring(front, f"{path}/infer", inference.infer),
            _inferring(front, f"{path}/generate", inference.generate),
            _inferring(front, f"{path}/generate_stream", inference.generate_stream),
        ]
    return [
        *routes,
        Route("/v2/{rest:path}", Endpoint(front, _unrouted, protocol=PROTOCOL, tells=error_response)),
    ]


@final
class _Described:
    """The RPCs of `Description` as paths. All raise Refused."""

    async def live(self, front: Front, asked: Asked) -> Response:
        return json_response({"live": True})

    async def ready(self, front: Front, asked: Asked) -> Response:
        is_ready = front.fleet.is_ready() and not front.open_answers.is_closing
        return json_response({"ready": is_ready}, status=200 if is_ready else 503)

    async def server(self, front: Front, asked: Asked) -> Response:
        told = await _ask(front, "ServerMetadata")
        return json_response(told | {"extensions": [*told["extensions"], *EXTENSIONS]})

    async def model(self, front: Front, asked: Asked) -> Response:
        return json_response(await _ask(front, "ModelMetadata", **_named(asked)))

    async def model_ready(self, front: Front, asked: Asked) -> Response:
        is_ready = (await _ask(front, "ModelReady", **_named(asked)))["ready"]
        body = {"name": asked.path["model"], "ready": is_ready}
        return json_response(body, status=200 if is_ready else 503)

    async def config(self, front: Front, asked: Asked) -> Response:
        return json_response((await _ask(front, "ModelConfig", **_named(asked)))["config"])

    async def statistics(self, front: Front, asked: Asked) -> Response:
        """Of one model, or of all."""
        return json_response(await _ask(front, "ModelStatistics", **_named(asked)))

    async def index(self, front: Front, asked: Asked) -> Response:
        only_ready = _object_in(asked.body, known=("ready",)).get("ready", False)
        return json_response((await _ask(front, "RepositoryIndex", ready=only_ready is True))["models"])

    async def load(self, front: Front, asked: Asked) -> Response:
        return await _change(front, "RepositoryModelLoad", asked)

    async def unload(self, front: Front, asked: Asked) -> Response:
        return await _change(front, "RepositoryModelUnload", asked)


async def _change(front: Front, rpc: str, asked: Asked) -> Response:
    """parameters: as of the RPC, which has none but Triton's unload_dependents."""
    parameters = _object_in(asked.body, known=("parameters",)).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Refused(Reason.INVALID_REQUEST, "parameters is not a JSON object")
    request = message_class(f"{rpc}Request")(model_name=asked.path["model"])
    for name in parameters:
        request.parameters[name].bool_param = True  # only names are looked at
    await _rpcs(front)[rpc](request)
    return json_response({})


async def _ask(front: Front, rpc: str, **fields: object) -> dict[str, object]:
    return as_json(await _rpcs(front)[rpc](message_class(f"{rpc}Request")(**fields)))


def _rpcs(front: Front) -> dict[str, Rpc]:
    return Description(front.fleet, front.text).rpcs()


def _route(
    front: Front,
    method: str,
    path: str,
    answering: Answering,
    *,
    is_open: bool = False,
    scopes: tuple[str, ...] = USERS,
) -> Route:
    endpoint = Endpoint(
        front, answering, is_open=is_open, scopes=scopes, protocol=PROTOCOL, tells=error_response
    )
    return Route(path, endpoint, methods=[method])


def _inferring(front: Front, path: str, answering: Answering) -> Route:
    """Whether the model generates says the call, not the path."""
    endpoint = Endpoint(
        front, answering, scopes=(INFER,), protocol=PROTOCOL, tells=error_response, operation=""
    )
    return Route(path, endpoint, methods=["POST"])


def _named(asked: Asked) -> dict[str, str]:
    return {"name": asked.path.get("model", ""), "version": asked.path.get("version", "")}


def _object_in(body: bytes, *, known: tuple[str, ...]) -> dict[str, object]:
    """The JSON object in a body, {} where there is none. Raises Refused for a key that is not known."""
    given = json_of(body) if body.strip() else {}
    if not isinstance(given, dict):
        raise Refused(Reason.INVALID_REQUEST, "the body is not a JSON object")
    for name in given:
        if name not in known:
            raise Refused(Reason.INVALID_PARAMETER, f"unknown key {short(name)!r}; it has {list(known)}")
    return given


async def _unrouted(front: Front, asked: Asked) -> Response:
    path = short("/v2/" + asked.path["rest"])
    return json_response(
        {"error": f"{path} is no path of the v2 protocol, or not by this method"}, status=404
    )
