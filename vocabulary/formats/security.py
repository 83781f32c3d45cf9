"""Tokens of a deployment file: what `security.auth` says, and what must hold of it."""

from __future__ import annotations

from vocabulary.deployment import Security, TokenSpec
from vocabulary.formats.deployment_shape import SecurityShape, TokenShape
from vocabulary.formats.document import Document, KeyPath

_TOKENS: KeyPath = ("security", "auth", "tokens")


def security_of(shape: SecurityShape) -> Security:
    """The noun of the shape."""
    return Security(
        auth=shape.auth.mode,
        tokens=tuple(map(_token, shape.auth.tokens)),
        trust_tenant_header=shape.trust_tenant_header,
        certificate=shape.tls.cert,
        client_ca=shape.tls.client_ca,
        allow_python_models=shape.allow_python_models,
    )


def check_tokens(shape: SecurityShape, document: Document) -> None:
    """Raises InvalidInput for a token without one place of its secret, a name taken, or none to show."""
    auth, taken = shape.auth, set()
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
    return TokenSpec(
        name=token.name,
        tenant=token.tenant or token.name,
        secret_file=token.secret_file,
        secret_env=token.secret_env,
        is_trusted=token.trusted,
        models=token.models,
    )
