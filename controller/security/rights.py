"""What the holder of a token may do."""

from __future__ import annotations

from dataclasses import dataclass

from controller.calls import ModelView, Reason, Refusal
from vocabulary.security import ADMIN, INFER, NO_CLAMP, Clamp, TokenSpec
from vocabulary.versions import parted


@dataclass(frozen=True, slots=True)
class Rights:
    """name: of the token, "" without one. models: names or aliases; None: all."""

    name: str = ""
    scopes: frozenset[str] = frozenset({INFER})
    models: frozenset[str] | None = None
    clamp: Clamp = NO_CLAMP

    def refusal_of(self, *scopes: str) -> Refusal | None:
        """Why a call that needs one of these scopes is refused, None where it may be. No scopes: all may."""
        if not scopes or not self.scopes.isdisjoint(scopes):
            return None
        return Refusal(Reason.PERMISSION_DENIED, _denied(self, " or ".join(scopes)))

    def may_see(self, name: str, view: ModelView) -> bool:
        """Whether the model is there at all, for who asks for it by this name."""
        known_as = (name, view.name, parted(view.name)[0])
        return self.models is None or not self.models.isdisjoint(known_as)

    @property
    def are_plain(self) -> bool:
        """Nothing of a call has to be looked at or changed."""
        return self.models is None and self.clamp == NO_CLAMP


# Without tokens: everybody, and whoever is on this machine.
ANYBODY = Rights()
LOCAL = Rights(scopes=frozenset({INFER, ADMIN}))


def rights_of(token: TokenSpec) -> Rights:
    models = None if token.models is None else frozenset(token.models)
    return Rights(token.name, frozenset(token.scopes), models, token.clamp)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: what they may do, and whose it is."""

    rights: Rights
    tenant: str = ""


def _denied(rights: Rights, scopes: str) -> str:
    if rights.name:
        return f"token {rights.name} has not the scope {scopes} that this call needs"
    return f"from other machines this call needs a token with the scope {scopes}"
