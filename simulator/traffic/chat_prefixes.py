"""Prefix hashes of conversations: equal where prompts are equal, however long they get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import mixed

# What a key names, in bits that neither a seed's mix nor a conversation reaches by design.
SYSTEM, CONVERSATION = np.uint64(0x53595354454D), np.uint64(0x54414C4B)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """offsets: int64 [requests + 1] into hashes: int64 [blocks], 0 or more."""

    offsets: NDArray[np.int64]
    hashes: NDArray[np.int64]


def prefixes(
    conversation: NDArray[np.int64],
    system: NDArray[np.int64],
    system_tokens: NDArray[np.int64],
    input_tokens: NDArray[np.int64],
    *,
    block_tokens: int,
    seed: int,
) -> Prefixes:
    """Hashes of the full blocks of each request's prompt.

    A block within the system prompt is every conversation's that has this prompt (`system`, not read where
    `system_tokens` is 0); the others are the conversation's own, and the same in all its turns.
    """
    sizes = input_tokens // block_tokens
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    request = np.repeat(np.arange(len(sizes)), sizes)
    block = np.arange(int(offsets[-1])) - offsets[request]
    is_shared = (block + 1) * block_tokens <= system_tokens[request]
    salt = mixed(np.array([seed], dtype=np.uint64))
    shared_key = mixed(system.astype(np.uint64) ^ SYSTEM ^ salt)
    own_key = mixed(conversation.astype(np.uint64) ^ CONVERSATION ^ mixed(salt))
    key = np.where(is_shared, shared_key[request], own_key[request])
    hashes = mixed(key + block.astype(np.uint64)) >> np.uint64(1)
    return Prefixes(offsets, hashes.astype(np.int64))
