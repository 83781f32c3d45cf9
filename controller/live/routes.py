"""`/` and `/live/...`: the live page, whose files are for everybody, and its document, which is not."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from controller.calls import Reason
from controller.http.admin import Verbs
from controller.http.endpoint import Answering, Asked, Endpoint, Front
from controller.live.files import INDEX, PageFile, page_files
from controller.text import Refused
from vocabulary.errors import StatmuxError
from vocabulary.security import ADMIN, METRICS

VERB = "live"
# Nothing but our own files and our own document; no markup that comes from a string.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_GUARDS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
# Fast rather than small: numbers shrink to a fifth either way.
_LEVEL = 1


def live_routes(verbs: Verbs) -> Callable[[Front], list[Route]]:
    """verbs: those that the fleet answers at the moment, `live` among them."""

    def routes(front: Front) -> list[Route]:
        files = page_files()
        paths = {"/": files[INDEX], **{f"/live/{name}": one for name, one in files.items() if name != INDEX}}
        document = Endpoint(
            front,
            _document(verbs),
            is_open=not front.tenants.ask_for_tokens,
            scopes=(METRICS, ADMIN),
            protocol="live",
        )
        return [
            *(
                Route(path, Endpoint(front, _file(one), is_open=True), methods=["GET"])
                for path, one in paths.items()
            ),
            Route("/live/document", document, methods=["GET"]),
        ]

    return routes


def _file(file: PageFile) -> Answering:
    """Asked for again each time, and sent only when it has changed."""
    headers = {**_GUARDS, "etag": file.tag, "cache-control": "no-cache"}

    async def answer(front: Front, asked: Asked) -> Response:
        if file.tag in asked.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers={**headers, "content-type": file.media_type})

    return answer


def _document(verbs: Verbs) -> Answering:
    async def answer(front: Front, asked: Asked) -> Response:
        content = msgspec.json.encode(await _looked(verbs()))
        headers = {**_GUARDS, "cache-control": "no-store", "content-type": "application/json"}
        if "gzip" in asked.headers.get("accept-encoding", ""):
            content = gzip.compress(content, _LEVEL, mtime=0)
            headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        return Response(content, headers=headers)

    return answer


async def _looked(verbs: Mapping[str, Any]) -> Mapping[str, Any]:
    verb = verbs.get(VERB)
    if verb is None:
        raise Refused(Reason.UNAVAILABLE, "the fleet says nothing of itself yet, or not any more")
    try:
        return await verb({"verb": VERB})
    except StatmuxError as error:
        raise Refused(Reason.UNAVAILABLE, str(error)) from error
