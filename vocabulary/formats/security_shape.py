"""`security` of a deployment file: certificates, tokens, and what is trusted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vocabulary.formats.shapes import Count, Name, Positive, Shape, spelled_out
from vocabulary.security import INFER, NO_CLAMP, Security


class TlsShape(Shape):
    """Files in PEM, relative to the deployment file. client_ca: only clients with a certificate of it."""

    cert: Annotated[str, Field(min_length=1)] | None = None
    key: Annotated[str, Field(min_length=1)] | None = None
    client_ca: Annotated[str, Field(min_length=1)] | None = None


class TokenShape(Shape):
    """A token is named here; the secret itself stays in a file or in the environment.

    Its calls are those of `tenant`, without one of a tenant that is called like the token; one that is
    `trusted` may name the tenant of each call in a header. `may_set_slo`, `min_slo_ms` and `max_priority`
    (1 is the highest) say how much of what its calls ask for themselves counts.
    """

    name: Name
    secret_file: Annotated[str, Field(min_length=1)] | None = None
    secret_env: Annotated[str, Field(min_length=1)] | None = None
    tenant: Name | None = None
    trusted: bool = False
    scopes: Annotated[tuple[Literal["infer", "admin", "metrics"], ...], Field(min_length=1)] = (INFER,)
    models: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)] | None = None
    may_set_slo: bool = NO_CLAMP.may_set_slo
    min_slo_ms: Positive | None = None
    max_priority: Count | None = NO_CLAMP.max_priority


class AuthShape(Shape):
    mode: Literal["none", "token"] = "none"
    tokens: Annotated[tuple[TokenShape, ...], Field(max_length=1000)] = ()


class SecurityShape(Shape):
    """trust_tenant_header: without tokens, every call may name its tenant in a header."""

    tls: TlsShape = TlsShape.model_construct()
    auth: Annotated[AuthShape, spelled_out("mode")] = AuthShape.model_construct()
    trust_tenant_header: bool = Security().trust_tenant_header
    allow_python_models: bool = Security().allow_python_models
