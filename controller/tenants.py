"""Who makes a call, what may they do, and whose is it? By a call's token, or by a header that it may set."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import structlog

from controller.calls import Reason, Refusal
from controller.security.rights import ANYBODY, LOCAL, Caller, Rights, rights_of
from controller.security.secrets import SecretPlaces
from vocabulary.errors import InvalidInput
from vocabulary.security import Security

AUTHORIZATION = "authorization"
# The first that is there counts: ours, then the one that gateways of llm-d set.
TENANT_HEADERS = ("x-statmux-tenant", "x-llm-d-inference-fairness-id")
MAX_TENANT_CHARS = 200
_SCHEME = "bearer "
_NO_TOKEN = Refusal(
    Reason.UNAUTHENTICATED, "a token is needed: send it as `authorization: Bearer <token>`, over TLS"
)
_UNKNOWN_TOKEN = Refusal(Reason.UNAUTHENTICATED, "the token is not one that is known here")
# Files of secrets are looked at so often at most.
_LOOK_AGAIN_S = 1.0
_log = structlog.get_logger("statmux.security")

Header = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """Who shows a token. digest: SHA-256 of its secret."""

    digest: bytes
    tenant: str
    is_trusted: bool
    rights: Rights


@final
class Tenants:
    """Knows every token of the deployment. `caller` is asked once for each call.

    Files of secrets that change are read again; what is wrong with them then is in the log, and the old
    secrets stay.
    """

    def __init__(
        self,
        places: SecretPlaces | None,
        *,
        trusts_everybody: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """places: of the secrets, None where no token is asked for. Raises InvalidInput for wrong ones."""
        self._places = places
        self._trusts_everybody = trusts_everybody
        self._clock = clock
        self._known: tuple[_Known, ...] = ()
        self._stamp: object = None
        self._look_s = 0.0
        if places is not None:
            self._stamp, self._known = places.stamp(), _known_of(places)
            self._look_s = clock() + _LOOK_AGAIN_S

    @property
    def are_one(self) -> bool:
        """No token is asked for and no header heeded: every call is the tenant's "", and `of` needless."""
        return self._places is None and not self._trusts_everybody

    @property
    def ask_for_tokens(self) -> bool:
        """Whether a call without one is refused."""
        return self._places is not None

    def caller(self, header: Header, *, is_local: bool = True) -> Caller | Refusal:
        """Who makes a call with these headers, or why it is refused. `header` takes lower-case names.

        is_local: the endpoint can be reached from this machine only; counts without tokens.
        """
        if self._places is None:
            tenant = (_wanted(header) or "") if self._trusts_everybody else ""
            return tenant if isinstance(tenant, Refusal) else Caller(LOCAL if is_local else ANYBODY, tenant)
        shown = header(AUTHORIZATION)
        if not shown or not shown.lower().startswith(_SCHEME):
            return _NO_TOKEN
        known = self._find(shown[len(_SCHEME) :].strip())
        if known is None:
            return _UNKNOWN_TOKEN
        tenant = (_wanted(header) or known.tenant) if known.is_trusted else known.tenant
        return tenant if isinstance(tenant, Refusal) else Caller(known.rights, tenant)

    def of(self, header: Header) -> str | Refusal:
        """The tenant of a call with these headers, or why it is refused."""
        caller = self.caller(header)
        return caller if isinstance(caller, Refusal) else caller.tenant

    def refusal_of(self, header: Header, *scopes: str) -> Refusal | None:
        """Why a call that needs one of these scopes is refused, None where it is not."""
        caller = self.caller(header)
        return caller if isinstance(caller, Refusal) else caller.rights.refusal_of(*scopes)

    def read_again(self) -> bool:
        """Read the secrets' files; True where they are in use now. Wrong ones are told in the log."""
        assert self._places is not None
        try:
            self._stamp, self._known = self._places.stamp(), _known_of(self._places)
        except InvalidInput as error:
            _log.error("tokens not read again: the old ones stay", why=error.message)
            return False
        _log.info("tokens read again", num_tokens=len(self._known))
        return True

    def _find(self, secret: str) -> _Known | None:
        """Takes as long for a secret that is nearly right as for any other, and looks at all of them."""
        self._look()
        digest, found = _digest(secret), None
        for known in self._known:
            if hmac.compare_digest(digest, known.digest):
                found = known
        return found

    def _look(self) -> None:
        assert self._places is not None
        if (now_s := self._clock()) < self._look_s:
            return
        self._look_s = now_s + _LOOK_AGAIN_S
        if (stamp := self._places.stamp()) != self._stamp:
            self._stamp = stamp
            self.read_again()


ONE_TENANT = Tenants(None, trusts_everybody=False)


def tenants_of(security: Security, *, folder: str, environment: Mapping[str, str]) -> Tenants:
    """Reads the secrets; relative paths start at `folder`. Raises InvalidInput, which never shows one."""
    if security.auth == "none":
        return Tenants(None, trusts_everybody=security.trust_tenant_header)
    places = SecretPlaces(security.tokens, folder=folder, environment=environment)
    tenants = Tenants(places, trusts_everybody=False)
    for path in places.readable_by_others():
        _log.warning("a token's file can be read by others than its owner: chmod 600", path=str(path))
    return tenants


def _known_of(places: SecretPlaces) -> tuple[_Known, ...]:
    return tuple(
        _Known(_digest(secret.text), secret.token.tenant, secret.token.is_trusted, rights_of(secret.token))
        for secret in places.read()
    )


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


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
