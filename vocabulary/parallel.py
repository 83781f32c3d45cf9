"""How one model is split over the devices of a group."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class ParallelConfig:
    """`tensor` devices share every operator, `pipeline` stages follow each other (Alpa's two axes).

    device_type: of the group's devices, empty in a cluster of one type. crossings: stages whose output goes
    to another host, ascending; empty where that costs no more than inside a host. Both follow from the
    devices of a group (`vocabulary.mesh.Cluster.located`), and what a model costs depends on them.
    """

    tensor: int = 1
    pipeline: int = 1
    device_type: str = ""
    crossings: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert self.tensor >= 1, self.tensor
        assert self.pipeline >= 1, self.pipeline
        assert all(0 <= stage < self.pipeline - 1 for stage in self.crossings), self.crossings

    @property
    def num_devices(self) -> int:
        return self.tensor * self.pipeline

    @property
    def inside(self) -> ParallelConfig:
        """The same on one host, as profiles know it."""
        return replace(self, crossings=()) if self.crossings else self

    def __str__(self) -> str:
        device_type = f", {self.device_type}" if self.device_type else ""
        hosts = f", {len(self.crossings) + 1} hosts" if self.crossings else ""
        return f"(tensor {self.tensor}, pipeline {self.pipeline}{device_type}{hosts})"
