"""How deep a JSON text nests, before anybody descends into it."""

from __future__ import annotations

import re
from itertools import accumulate

# Strings, the last of them perhaps without an end; possessive, so that no text takes more than one pass.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def is_deeper(text: bytes, depth: int) -> bool:
    """Whether arrays and objects nest more than `depth` deep. Texts that are no JSON have some depth, too."""
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > depth
