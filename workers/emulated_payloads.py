"""What stages that only sleep compute with, so that every byte that travels can be checked.

All on bytes, modulo 256. A forward adds a number of the stage to its input; a backward takes what it gets
and three times what the forward took; a weights' gradient is the product of both, summed over micro-batches.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Payload = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Checksums:
    """What a stage has made: outputs and gradients at its input, by micro-batch, and its weights' gradient.

    Without backwards there are no gradients: none, and that of zeros.
    """

    outputs: tuple[int, ...]
    input_gradients: tuple[int, ...]
    weight_gradient: int


def micro_batch(index: int, num_bytes: int) -> Payload:
    return np.random.default_rng(index).integers(0, 256, num_bytes, dtype=np.uint8)


def forward(stage: int, taken: Payload, *, out: Payload) -> None:
    np.add(taken, np.uint8(stage + 1), out=out)


def backward(stage: int, taken: Payload, gradient: Payload, *, out: Payload) -> None:
    np.multiply(taken, np.uint8(3), out=out)
    np.add(out, gradient, out=out)


def add_weight_gradient(total: Payload, taken: Payload, gradient: Payload) -> None:
    np.add(total, taken * gradient, out=total)


def unpipelined(
    num_stages: int, num_micro_batches: int, num_bytes: int, *, has_backwards: bool
) -> tuple[Checksums, ...]:
    """What every stage must have made: the oracle, one micro-batch after the other."""
    totals = [np.zeros(num_bytes, np.uint8) for _ in range(num_stages)]
    outputs: list[list[int]] = [[] for _ in range(num_stages)]
    gradients: list[list[int]] = [[] for _ in range(num_stages)]
    for index in range(num_micro_batches):
        taken = [micro_batch(index, num_bytes)]
        for stage in range(num_stages):
            taken.append(np.empty(num_bytes, np.uint8))
            forward(stage, taken[stage], out=taken[stage + 1])
            outputs[stage].append(checksum(taken[stage + 1]))
        gradient = taken[-1]
        for stage in reversed(range(num_stages) if has_backwards else range(0)):
            add_weight_gradient(totals[stage], taken[stage], gradient)
            passed = np.empty(num_bytes, np.uint8)
            backward(stage, taken[stage], gradient, out=passed)
            gradient = passed
            gradients[stage].append(checksum(gradient))
    return tuple(
        Checksums(tuple(outputs[stage]), tuple(gradients[stage]), checksum(totals[stage]))
        for stage in range(num_stages)
    )


def checksum(payload: Payload) -> int:
    return zlib.crc32(payload)
