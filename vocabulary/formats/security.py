"""What `security` of a deployment file says, and what must hold of it."""

from __future__ import annotations

from vocabulary.formats.deployment_shape import DeploymentShape
from vocabulary.formats.document import Document, KeyPath
from vocabulary.formats.security_shape import SecurityShape, TlsShape, TokenShape
from vocabulary.security import Clamp, Security, TlsFiles, TokenSpec

_TOKENS: KeyPath = ("security", "auth", "tokens")
_TLS: KeyPath = ("security", "tls")


def security_of(shape: SecurityShape) -> Security:
    """The noun of the shape."""
    tls = shape.tls
    return Security(
        auth=shape.auth.mode,
        tokens=tuple(map(_token, shape.auth.tokens)),
        trust_tenant_header=shape.trust_tenant_header,
        tls=None if tls.cert is None or tls.key is None else TlsFiles(tls.cert, tls.key, tls.client_ca),
        allow_python_models=shape.allow_python_models,
    )


def check_security(shape: DeploymentShape, document: Document) -> None:
    """Raises InvalidInput for what cannot be meant: half of a certificate, a token that nobody could show."""
    _check_tls(shape.security.tls, document)
    _check_tokens(shape.security, document)


def _check_tls(tls: TlsShape, document: Document) -> None:
    if (tls.cert is None) == (tls.key is None) and (tls.client_ca is None or tls.cert is not None):
        return
    missing = "cert" if tls.cert is None else "key"
    message = f"there is no {missing}; TLS needs the certificate and its private key"
    raise document.error(_TLS, message, hint="write tls: {cert: server.pem, key: server.key}")


def _check_tokens(shape: SecurityShape, document: Document) -> None:
    auth = shape.auth
    taken: set[str] = set()
    if auth.mode == "token" and not auth.tokens:
        hint = "add `tokens: [{name: app, secret_env: APP_TOKEN}]`, or every call would be refused"
        raise document.error(_TOKENS[:-1], "mode is token, and there are no tokens", hint=hint)
    for index, token in enumerate(auth.tokens):
        path = (*_TOKENS, index)
        if token.name in taken:
            hint = "give every token its own name"
            raise document.error((*path, "name"), f"name {token.name!r} is taken", hint=hint)
        taken.add(token.name)
        if (token.secret_file is None) == (token.secret_env is None):
            message = f"token {token.name} needs one of secret_file and secret_env"
            raise document.error(path, message, hint="name the file or the variable that holds its secret")
    if auth.mode == "token" and shape.trust_tenant_header:
        hint = "write `trusted: true` at the tokens that may name tenants"
        message = "with tokens, each says for itself whether it is trusted"
        raise document.error(("security", "trust_tenant_header"), message, hint=hint)


def _token(token: TokenShape) -> TokenSpec:
    min_slo_s = None if token.min_slo_ms is None else token.min_slo_ms / 1000
    return TokenSpec(
        name=token.name,
        tenant=token.tenant or token.name,
        secret_file=token.secret_file,
        secret_env=token.secret_env,
        is_trusted=token.trusted,
        models=token.models,
        scopes=token.scopes,
        clamp=Clamp(token.may_set_slo, min_slo_s, token.max_priority),
    )
