"""The application: which path is answered by what."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from controller.http import describe
from controller.http.chat import chat_completions
from controller.http.completions import completions
from controller.http.embeddings import embeddings
from controller.http.endpoint import Endpoint, Front, not_found
from vocabulary.security import INFER


def build_app(front: Front, *, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """routes: further ones, of other protocols."""
    return Starlette(
        routes=[*_openai_routes(front), *_health_routes(front), *routes],
        exception_handlers={404: _unrouted, 405: _unrouted},
    )


def _openai_routes(front: Front) -> list[Route]:
    # What each is called in traces, by OpenTelemetry's conventions.
    asking = {
        "/v1/chat/completions": (chat_completions, "chat"),
        "/v1/completions": (completions, "text_completion"),
        "/v1/embeddings": (embeddings, "embeddings"),
    }
    return [
        *(
            Route(path, Endpoint(front, answering, scopes=(INFER,), operation=operation), methods=["POST"])
            for path, (answering, operation) in asking.items()
        ),
        Route("/v1/models", Endpoint(front, describe.models), methods=["GET"]),
        Route("/v1/models/{model:path}", Endpoint(front, describe.model), methods=["GET"]),
    ]


def _health_routes(front: Front) -> list[Route]:
    """Open to who has no token: probes have none."""
    answers = {
        "/livez": describe.livez,
        "/readyz": describe.readyz,
        "/health": describe.readyz,
        "/version": describe.version,
    }
    return [
        Route(path, Endpoint(front, answering, is_open=True), methods=["GET"])
        for path, answering in answers.items()
    ]


async def _unrouted(request: Request, error: HTTPException) -> Response:
    response = not_found(request.url.path, error.status_code)
    response.headers.update(error.headers or {})
    return response
