"""Whose call is it? The tenant of a call, from its token, or from a header that the token may set."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from controller.calls import Reason, Refusal
from vocabulary.errors import InvalidInput
from vocabulary.security import Security, TokenSpec

AUTHORIZATION = "authorization"
# The first that is there counts: ours, then the one that gateways of llm-d set.
TENANT_HEADERS = ("x-statmux-tenant", "x-llm-d-inference-fairness-id")
MAX_TENANT_CHARS = 200
_SCHEME = "bearer "
_NO_TOKEN = Refusal(
    Reason.UNAUTHENTICATED, "a token is needed: send it as `authorization: Bearer <token>`, over TLS"
)
_UNKNOWN_TOKEN = Refusal(Reason.UNAUTHENTICATED, "the token is not one that is known here")

Header = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who shows a token. digest: SHA-256 of its secret."""

    digest: bytes
    tenant: str
    is_trusted: bool


@final
class Tenants:
    """Knows every token of the deployment. `of` is asked once for each call."""

    def __init__(self, callers: tuple[_Caller, ...] | None, *, trusts_everybody: bool) -> None:
        self._callers = callers
        self._trusts_everybody = trusts_everybody

    @property
    def are_one(self) -> bool:
        """No token is asked for and no header heeded: every call is the tenant's "", and `of` needless."""
        return self._callers is None and not self._trusts_everybody

    def of(self, header: Header) -> str | Refusal:
        """The tenant of a call with these headers, or why it is refused. `header` takes lower-case names."""
        if self._callers is None:
            return (_wanted(header) or "") if self._trusts_everybody else ""
        shown = header(AUTHORIZATION)
        if not shown or not shown.lower().startswith(_SCHEME):
            return _NO_TOKEN
        caller = _known(self._callers, shown[len(_SCHEME) :].strip())
        if caller is None:
            return _UNKNOWN_TOKEN
        return (_wanted(header) or caller.tenant) if caller.is_trusted else caller.tenant


ONE_TENANT = Tenants(None, trusts_everybody=False)


def tenants_of(security: Security, *, folder: str, environment: Mapping[str, str]) -> Tenants:
    """Reads the secrets; relative paths start at `folder`. Raises InvalidInput, which never shows one."""
    if security.auth == "none":
        return Tenants(None, trusts_everybody=security.trust_tenant_header)
    names: dict[bytes, str] = {}
    callers = []
    for token in security.tokens:
        digest = _digest(_secret(token, folder, environment))
        if digest in names:
            raise InvalidInput(
                f"tokens {names[digest]} and {token.name} have the same secret",
                where="security.auth.tokens",
                hint="give every token a secret of its own",
            )
        names[digest] = token.name
        callers.append(_Caller(digest, token.tenant, token.is_trusted))
    return Tenants(tuple(callers), trusts_everybody=False)


def _known(callers: tuple[_Caller, ...], secret: str) -> _Caller | None:
    """Takes as long for a secret that is nearly right as for any other, and looks at all of them."""
    digest, found = _digest(secret), None
    for caller in callers:
        if hmac.compare_digest(digest, caller.digest):
            found = caller
    return found


def _wanted(header: Header) -> str | Refusal | None:
    """The tenant that the headers name, None where they name none."""
    for name in TENANT_HEADERS:
        tenant = header(name)
        if tenant is None or tenant == "":
            continue
        if len(tenant) > MAX_TENANT_CHARS or not tenant.isprintable():
            text = f"header {name}: at most {MAX_TENANT_CHARS} printable characters, got {len(tenant)}"
            return Refusal(Reason.INVALID_PARAMETER, text)
        return tenant
    return None


def _secret(token: TokenSpec, folder: str, environment: Mapping[str, str]) -> str:
    if token.secret_env is not None:
        secret, place = environment.get(token.secret_env, ""), f"variable {token.secret_env}"
    else:
        assert token.secret_file is not None, token
        path = Path(folder, token.secret_file)
        secret, place = _read(token, path), f"file {path}"
    secret = secret.strip()
    if not secret:
        raise _wrong(token, f"{place} is empty or not there")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise _wrong(token, f"{place} has a character that no header can carry")
    return secret


def _read(token: TokenSpec, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(token, f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None


def _wrong(token: TokenSpec, message: str) -> InvalidInput:
    hint = "put the secret there, for example from `openssl rand -hex 32`, before the fleet starts"
    return InvalidInput(f"token {token.name}: {message}", where="security.auth.tokens", hint=hint)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
