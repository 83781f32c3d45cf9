"""What a trace is, in sixteen letters: to say that it is the same on any machine."""

from __future__ import annotations

import hashlib

import numpy as np

from vocabulary.trace import Trace


def digest(trace: Trace) -> str:
    """Of arrivals in whole nanoseconds, models and tokens."""
    parts = [np.rint(trace.arrival_s * 1e9).astype(np.int64), trace.model_index.astype(np.int32)]
    if trace.tokens is not None:
        parts += [trace.tokens.input_tokens, trace.tokens.output_tokens]
        parts += [
            part for part in (trace.tokens.prefix_offsets, trace.tokens.prefix_hashes) if part is not None
        ]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]
