"""`security` of a deployment file: certificates, tokens, and what is trusted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vocabulary.formats.shapes import Count, Name, Positive, Shape, spelled_out, told
from vocabulary.security import INFER, NO_CLAMP, Security


class TlsShape(Shape):
    """Files in PEM, relative to the deployment file. client_ca: only clients with a certificate of it."""

    cert: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        told(
            "PEM file, relative to the deployment; for gRPC, HTTP and metrics. Read again for every new "
            "connection."
        ),
    ] = None
    key: Annotated[Annotated[str, Field(min_length=1)] | None, told("PEM file of the certificate's key.")] = (
        None
    )
    client_ca: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        told("PEM file; only clients with a certificate of it come in."),
    ] = None


class TokenShape(Shape):
    """A token is named here; the secret itself stays in a file or in the environment.

    Its calls are those of `tenant`, without one of a tenant that is called like the token; one that is
    `trusted` may name the tenant of each call in a header. `may_set_slo`, `min_slo_ms` and `max_priority`
    (1 is the highest) say how much of what its calls ask for themselves counts.
    """

    name: Annotated[Name, told("Of the token, not the secret.")]
    secret_file: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        told("File that holds the secret. Read again when it changes."),
    ] = None
    secret_env: Annotated[
        Annotated[str, Field(min_length=1)] | None, told("Variable of the environment that holds the secret.")
    ] = None
    tenant: Annotated[
        Name | None, told("Whose its calls are; without it, a tenant that is called like the token.")
    ] = None
    trusted: Annotated[bool, told("Whether its calls may name their tenant in a header.")] = False
    scopes: Annotated[
        tuple[Literal["infer", "admin", "metrics"], ...],
        Field(min_length=1),
        told("`infer`: inference; `admin`: load, unload, /admin/v1; `metrics`: metrics beyond this machine."),
    ] = (INFER,)
    models: Annotated[
        Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)] | None,
        told("Names or aliases that it may use; all without it. Others are not there for it."),
    ] = None
    may_set_slo: Annotated[bool, told("Whether objectives that its calls name count.")] = NO_CLAMP.may_set_slo
    min_slo_ms: Annotated[
        Positive | None, told("A lower latency or time to the first token than this counts as this.")
    ] = None
    max_priority: Annotated[Count | None, told("The most important that counts, 1 being the highest.")] = (
        NO_CLAMP.max_priority
    )


class AuthShape(Shape):
    mode: Annotated[
        Literal["none", "token"], told("Whether calls need a token. `auth: token` for short.")
    ] = "none"
    tokens: Annotated[
        tuple[TokenShape, ...], Field(max_length=1000), told("Who may call. Secrets are never in this file.")
    ] = ()


class SecurityShape(Shape):
    """trust_tenant_header: without tokens, every call may name its tenant in a header."""

    tls: Annotated[TlsShape, told("Certificates before every endpoint.")] = TlsShape.model_construct()
    auth: Annotated[AuthShape, spelled_out("mode"), told("Tokens.")] = AuthShape.model_construct()
    trust_tenant_header: Annotated[
        bool, told("Without tokens: whether every call may name its tenant in a header.")
    ] = Security().trust_tenant_header
    allow_python_models: Annotated[
        bool, told("Whether `python://` sources may be used, whose code every worker that loads them runs.")
    ] = Security().allow_python_models
