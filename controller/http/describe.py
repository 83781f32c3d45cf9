"""/v1/models, health and version."""

from __future__ import annotations

import time
from importlib import metadata

from starlette.responses import Response

from controller.calls import ModelView
from controller.http.endpoint import Asked, Front
from controller.http.errors import json_response

SERVER_NAME = "statmux"
_START = int(time.time())


async def models(front: Front, asked: Asked) -> Response:
    """/v1/models: every name and alias."""
    listed = [_model(name, view) for name, view in front.fleet.models().items()]
    return json_response({"object": "list", "data": listed})


async def model(front: Front, asked: Asked) -> Response:
    """/v1/models/{model}. Raises Refused."""
    name = asked.path["model"]
    return json_response(_model(name, front.text.view(name)))


async def livez(front: Front, asked: Asked) -> Response:
    """This process answers."""
    return json_response({"status": "ok"})


async def readyz(front: Front, asked: Asked) -> Response:
    """All models are placed and warm, and the fleet is not leaving."""
    if front.fleet.is_ready() and not front.open_answers.is_closing:
        return json_response({"status": "ok"})
    if front.tenants.ask_for_tokens:  # probes have none, and names are not for everybody
        return json_response({"status": "not ready"}, status=503)
    waiting = {
        view.name: view.state_reason or view.state.value
        for view in front.fleet.models().values()
        if view.state.value != "READY"
    }
    return json_response({"status": "not ready", "models": waiting}, status=503)


async def version(front: Front, asked: Asked) -> Response:
    return json_response({"name": SERVER_NAME, "version": metadata.version(SERVER_NAME)})


def _model(name: str, view: ModelView) -> dict[str, object]:
    """root: the model that an alias stands for."""
    described: dict[str, object] = {
        "id": name,
        "object": "model",
        "created": _START,
        "owned_by": SERVER_NAME,
        "root": view.name,
        "state": view.state.value,
    }
    if view.generation is not None:
        described["max_model_len"] = view.generation.max_model_len
    return described
