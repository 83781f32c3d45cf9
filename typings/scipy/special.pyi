from typing import overload

import numpy as np
from numpy.typing import NDArray

@overload
def digamma(x: float) -> float: ...
@overload
def digamma(x: NDArray[np.float64]) -> NDArray[np.float64]: ...
def stdtrit(df: float, p: float) -> float: ...
