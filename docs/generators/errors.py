"""The page of refusals: each reason with its statuses, what to do about it, and what it means."""

from __future__ import annotations

from typing import cast

from controller.calls import Reason, Refusal
from controller.grpc_v2.refusals import STATUS as GRPC_STATUS
from controller.grpc_v2.refusals import trailers_of
from controller.http.admin import STATUS as ADMIN_STATUS
from controller.http.errors import NOT_TO_RETRY, body_of, retry_headers
from controller.http.errors import STATUS as HTTP_STATUS
from controller.journal.told_reasons import MEANINGS
from docs.generators.markdown import code, notice, table
from vocabulary.request import Fate

PROSE = """# Errors of calls

A call that is not answered is refused for one reason, by the same code over gRPC, v2 REST and OpenAI's API.
The reason is a stable word; the message beside it is for people and may change. `statmux explain ID` says
more about one call ([operate](../how-to/operate.md)). What commands print and exit with is in [exit
codes](exit-codes.md), what is wrong with a deployment in [deployment file](deployment-file.md#errors).

"""
WHERE = """
## Where the reason stands

| protocol | reason | message | when to ask again |
| --- | --- | --- | --- |
| gRPC | `reason` of `google.rpc.ErrorInfo` with domain `statmux`, in upper case | status details | `google.rpc.RetryInfo`, `grpc-retry-pushback-ms` (-1: not) |
| a gRPC stream | parameter `statmux_reason` | `error_message` | |
| v2 REST | | `error` | `retry-after-ms`, `retry-after`, or `x-should-retry: false` |
| OpenAI | `error.code` | `error.message`; `error.type` is by status | as v2 REST |

`error.type` is {types}. Every refusal has the call's id: `x-request-id`, a header or trailing metadata.

"""  # noqa: E501
ADVICE = """## When to ask again

- **later**: what refused it may be over soon. The server says after how long.
- **if twice is harmless**: it may have been computed. Only you know whether that matters.
- **no**: the same call is refused again. OpenAI's clients ask again twice after every 429 and from 500 on
  unless told not to, so these replies have `x-should-retry: false` where the status would invite them.

"""
OTHERS = """
## Refused before they are calls

| HTTP | when |
| --- | --- |
| 400 | headers beyond `endpoints.limits.max_header`; JSON that nests too deep (`json_too_deep`) |
| 404, 405 | no such path; not with this method |
| 408 | headers or body took longer than `endpoints.limits.header_timeout_s`, `body_timeout_s` |
| 413 | the body is larger than `endpoints.http.max_body` |
| 503 | more connections than `endpoints.limits.max_connections` |

"""
ADMIN = """## /admin/v1

The verbs of the [control socket](control.md) over HTTP answer their errors as OpenAI's API does;
`error.code` is the kind.

"""
# How often a client should try again is the client's; whether it makes sense is told by these.
IN_DOUBT = frozenset((Reason.LOST, Reason.FAILED))


def page() -> str:
    """The page reference/errors.md."""
    heads = ("reason", "gRPC", "HTTP", "ask again", "what it means")
    types = ", ".join(f"`{kind}` ({', '.join(map(str, told))})" for kind, told in statuses_by_type().items())
    kinds = [[code(kind.__name__), str(status)] for kind, status in ADMIN_STATUS.items()]
    return "".join([
        notice("errors"), PROSE, table(heads, map(row_of, Reason)), WHERE.format(types=types), ADVICE,
        outcomes(), OTHERS, ADMIN, table(("kind", "HTTP"), [*kinds, ["any other", "500"]]),
    ])  # fmt: skip


def row_of(reason: Reason) -> list[str]:
    """One reason."""
    status = GRPC_STATUS[reason].name
    return [
        code(reason.value),
        code(status),
        str(HTTP_STATUS[reason]),
        advice(reason),
        MEANINGS[reason.value],
    ]


def advice(reason: Reason) -> str:
    """Whether to ask again, by what the reply says."""
    if reason in NOT_TO_RETRY or dict(trailers_of(Refusal(reason, ""))).get("grpc-retry-pushback-ms") == "-1":
        return "no"
    if wait := retry_headers(Refusal(reason, "")).get("retry-after-ms"):
        return f"later ({int(wait) / 1000:g} s)"
    if reason is Reason.CANCELLED:
        return "as it likes"
    if reason in IN_DOUBT:
        return "if twice is harmless"
    return "no"


def statuses_by_type() -> dict[str, list[int]]:
    """HTTP statuses of refusals by the `error.type` that OpenAI's clients read."""
    found: dict[str, list[int]] = {}
    for status in sorted(set(HTTP_STATUS.values())):
        body = cast(dict[str, dict[str, str]], body_of("", status, param=None, code=None))
        found.setdefault(body["error"]["type"], []).append(status)
    return found


def outcomes() -> str:
    """How fates of simulations and traces are called, which are the same words."""
    words = ", ".join(code(fate.value) for fate in Fate if fate is not Fate.SERVED)
    return f"\nSimulated requests end in the same words ([outcomes](files.md#outcomes)): {words}.\n"
