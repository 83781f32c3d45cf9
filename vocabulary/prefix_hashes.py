"""What stands for the beginning of a prompt: one hash for each full page of tokens and all before it.

Whoever may not share pages gets another `salt` (`prefix_salt`): the first hash, and so all others, differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

_NUM_BYTES = 8


def prefix_salt(model: str, *, adapter: str = "", tenant_salt: str = "", cache_type: str = "") -> str:
    """Of prompts that may share pages: equal only where all four are equal.

    tenant_salt: what keeps a tenant's prompts from being found by others, by what is in the cache or by the
    time that an answer takes; empty where tenants share. cache_type: how keys and values are kept.
    """
    return msgspec.json.encode((model, adapter, tenant_salt, cache_type)).decode()


def first_hash(salt: str) -> int:
    """Of no tokens at all."""
    return _as_int(blake2b(salt.encode(), digest_size=_NUM_BYTES).digest())


def next_hash(before: int, page: Sequence[int] | NDArray[np.int32]) -> int:
    """Of a page of tokens that follows what `before` stands for."""
    tokens = np.asarray(page, dtype=np.int32).tobytes()
    return _as_int(blake2b(tokens, digest_size=_NUM_BYTES, key=_as_bytes(before)).digest())


def page_hashes(token_ids: Sequence[int], *, page_tokens: int, salt: str) -> tuple[int, ...]:
    """One for each full page of the tokens, in order."""
    hashes: list[int] = []
    last = first_hash(salt)
    tokens = np.asarray(token_ids, dtype=np.int32)
    for end in range(page_tokens, len(tokens) + 1, page_tokens):
        last = next_hash(last, tokens[end - page_tokens : end])
        hashes.append(last)
    return tuple(hashes)


def _as_int(digest: bytes) -> int:
    return int.from_bytes(digest, "little", signed=True)


def _as_bytes(value: int) -> bytes:
    return value.to_bytes(_NUM_BYTES, "little", signed=True)
