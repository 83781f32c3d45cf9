from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, csr_matrix

class Bounds:
    def __init__(self, lb: ArrayLike = ..., ub: ArrayLike = ...) -> None: ...

class LinearConstraint:
    def __init__(self, A: csr_matrix | csr_array, lb: ArrayLike = ..., ub: ArrayLike = ...) -> None: ...

class _Marginals:
    marginals: NDArray[np.float64]

class OptimizeResult:
    status: int
    message: str
    fun: float | None
    # None where no solution was found; so are `fun` and `mip_gap`.
    x: NDArray[np.float64] | None
    mip_gap: float | None
    # Of `linprog` alone.
    ineqlin: _Marginals

def linear_sum_assignment(cost_matrix: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def linprog(
    c: NDArray[np.float64],
    A_ub: csr_array | None = ...,
    b_ub: NDArray[np.float64] | None = ...,
    A_eq: csr_array | None = ...,
    b_eq: NDArray[np.float64] | None = ...,
    bounds: ArrayLike | Sequence[tuple[float, float | None]] = ...,
    method: str = ...,
    options: Mapping[str, object] | None = ...,
) -> OptimizeResult: ...
def milp(
    c: NDArray[np.float64],
    *,
    integrality: NDArray[Any] | None = ...,
    bounds: Bounds | None = ...,
    constraints: LinearConstraint | None = ...,
    options: Mapping[str, object] | None = ...,
) -> OptimizeResult: ...
def nnls(A: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]: ...
