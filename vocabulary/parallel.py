"""How one model is split over the devices of a group."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ParallelConfig:
    """`tensor` devices share every operator, `pipeline` stages follow each other (Alpa's two axes)."""

    tensor: int = 1
    pipeline: int = 1

    def __post_init__(self) -> None:
        assert self.tensor >= 1, self.tensor
        assert self.pipeline >= 1, self.pipeline

    @property
    def num_devices(self) -> int:
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        return f"(tensor {self.tensor}, pipeline {self.pipeline})"
