"""/admin/v1: looking after a fleet over HTTP, with the verbs of its control socket, for the scope `admin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.routing import Route

from controller.calls import Reason
from controller.http.endpoint import Answering, Asked, Endpoint, Front
from controller.http.errors import body_of, json_response
from controller.http.parameters import json_of
from controller.text import Refused
from controller.verbs.control import Verb
from vocabulary.errors import Infeasible, InvalidInput, StatmuxError, TimedOut, Unreachable
from vocabulary.security import ADMIN

Verbs = Callable[[], Mapping[str, Verb]]
# What only looks, and what changes something. `stop` and `apply` are for who may write to the fleet's folder:
# a deployment file may name code that is run.
LOOKING = ("status", "plan", "models", "explain")
CHANGING = ("drain", "undrain")
OF_MODELS = ("load", "unload")
STATUS: Mapping[type[StatmuxError], int] = {
    InvalidInput: 400,
    Infeasible: 409,
    Unreachable: 503,
    TimedOut: 504,
}


def admin_routes(verbs: Verbs) -> Callable[[Front], list[Route]]:
    """verbs: those that the fleet answers at the moment. Without tokens, for this machine only."""

    def routes(front: Front) -> list[Route]:
        looking = [_route(front, "GET", f"/{name}", _looking(verbs, name)) for name in LOOKING]
        changing = [_route(front, "POST", f"/{name}", _changing(verbs, name)) for name in CHANGING]
        of_models = [
            _route(front, "POST", f"/models/{{model}}/{name}", _of_model(verbs, name)) for name in OF_MODELS
        ]
        return [*looking, *changing, *of_models]

    return routes


def _route(front: Front, method: str, path: str, answering: Answering) -> Route:
    return Route(
        f"/admin/v1{path}", Endpoint(front, answering, scopes=(ADMIN,), protocol="admin"), methods=[method]
    )


def _looking(verbs: Verbs, name: str) -> Answering:
    async def answer(front: Front, asked: Asked) -> Response:
        return await _answer(verbs, name, dict(parse_qsl(asked.query)))

    return answer


def _changing(verbs: Verbs, name: str) -> Answering:
    async def answer(front: Front, asked: Asked) -> Response:
        return await _answer(verbs, name, _words_of(asked.body))

    return answer


def _of_model(verbs: Verbs, name: str) -> Answering:
    async def answer(front: Front, asked: Asked) -> Response:
        return await _answer(verbs, name, {**_words_of(asked.body), "model": asked.path["model"]})

    return answer


async def _answer(verbs: Verbs, name: str, words: Mapping[str, Any]) -> Response:
    verb = verbs().get(name)
    if verb is None:
        raise Refused(Reason.UNAVAILABLE, f"the fleet does not answer {name!r} yet, or not any more")
    try:
        return json_response(await verb({**words, "verb": name}))
    except StatmuxError as error:
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
        message = f"{error} ({error.hint})" if error.hint else str(error)
        return json_response(body_of(message, status, param=None, code=type(error).__name__), status=status)
    except KeyError as error:
        raise Refused(Reason.INVALID_PARAMETER, f"{name} needs {error}", param=str(error)) from error


def _words_of(body: bytes) -> Mapping[str, Any]:
    words = json_of(body) if body.strip() else {}
    if not isinstance(words, dict):
        raise Refused(Reason.INVALID_REQUEST, "the body is not a JSON object")
    return words
