"""Attention by loops in float64 numpy: what a backend is held against at start and in tests.

Array suffixes: attention/interface.py; L is the tokens of one sequence up to the query.
"""

from __future__ import annotations

import numpy as np


def attend_one(q_NH: np.ndarray, k_LKH: np.ndarray, v_LKH: np.ndarray) -> np.ndarray:
    """mixed_NH of one query over all those keys, head by head."""
    group_size = len(q_NH) // k_LKH.shape[1]
    mixed_NH = np.zeros(q_NH.shape)
    for head, q_H in enumerate(np.float64(q_NH)):
        scores_L = k_LKH[:, head // group_size] @ q_H / np.sqrt(len(q_H))
        weights_L = np.exp(scores_L - scores_L.max())
        mixed_NH[head] = weights_L @ v_LKH[:, head // group_size] / weights_L.sum()
    return mixed_NH
