"""The groups of a fleet's server: they come, open, change, are lost and go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from controller.calls import ModelState
from controller.generations import Generations
from controller.group_links import GroupLinks
from controller.group_table import GroupTable
from controller.metrics import FleetMetrics
from controller.model_board import ModelBoard
from scheduling.cluster import ClusterScheduler
from scheduling.learned import LearnedCorrections
from vocabulary.correction import Correction
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.messages import (
    CatalogChanged,
    ClusterEvent,
    GroupAdded,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
)
from vocabulary.placement import Group, Placement
from workers.engine import ModelInterface
from workers.frames import Beat
from workers.link import Link


class ServerGroups(ABC):
    """Every part of the server that knows groups hears of each change here, in the same order."""

    _machine: ClusterScheduler

    def __init__(
        self,
        deployment: Deployment,
        placement: Placement,
        metrics: FleetMetrics,
        limits: Sequence[Mapping[str, GenerationLimits]],
    ) -> None:
        self.deployment = deployment
        self._metrics = metrics
        self._table = GroupTable(placement)
        self._learned = LearnedCorrections(self._table.groups, catalog=deployment.catalog())
        self._generations = Generations({model.name: model for model in deployment.models}, metrics, limits)
        self._board = ModelBoard(deployment.models, self._table, deployment.splits)
        self._links = GroupLinks()

    @abstractmethod
    def _post(self, event: ClusterEvent) -> None:
        """Tell the machine."""

    @abstractmethod
    def _admit_waiting(self, models: Sequence[str]) -> None:
        """These can be asked now."""

    def adopt(self, deployment: Deployment) -> None:
        """Models, their objectives and costs are these from now on. Before groups that hold new ones come."""
        catalog = deployment.catalog()
        self.deployment = deployment
        self._generations.adopt({model.name: model for model in deployment.models})
        self._learned.adopt(catalog)
        self._post(CatalogChanged(catalog))
        self._board.adopt(deployment.models, deployment.splits)
        self._metrics.expect(deployment)

    def add_group(
        self, group_index: int, group: Group, limits: Mapping[str, GenerationLimits] | None = None
    ) -> None:
        """A group that is to start, under an index that none had. limits: of its models that generate."""
        self._table.add(group_index, group)
        self._generations.allow(group_index, limits or {})
        self._post(GroupAdded(group_index, group, limits or {}))
        self._board.refresh()

    def open_group(self, group_index: int, link: Link, interfaces: Mapping[str, ModelInterface]) -> None:
        """The group's models are warm and `link` leads to its worker."""
        self._links.open(group_index, link)
        self._post(GroupOpened(group_index))
        self._board.open_group(group_index, interfaces)
        self._admit_waiting(self._table.groups[group_index].models)

    def open_replica(
        self,
        group_index: int,
        model: str,
        interface: ModelInterface | None = None,
        limits: GenerationLimits | None = None,
    ) -> None:
        """The model takes requests on an open group: new there (with its interface), or closed before."""
        known = interface or self._board.interface(model)
        assert known is not None, f"{model} was never here"
        self._table.add_model(group_index, model)
        if limits is not None:
            self._generations.allow(group_index, {model: limits})
        self._post(ReplicaOpened(group_index, model, limits))
        self._board.open_replica(group_index, model, known)
        self._admit_waiting((model,))

    def close_replica(self, group_index: int, model: str) -> None:
        """No new requests of the model go there; `in_flight_of` tells when those it has are done."""
        self._post(ReplicaClosed(group_index, model))
        self._board.close_replica(group_index, model)

    def drop_replica(self, group_index: int, model: str) -> None:
        """The model is not resident there any more."""
        self._table.remove_model(group_index, model)
        self._board.refresh()

    def lose_group(self, group_index: int, why: str) -> bool:
        """The group's worker is gone; its requests go elsewhere or are refused. False: that was known."""
        if not self._links.lose(group_index):
            return False
        self._metrics.group_lost(self._table.id_of(group_index))
        self._post(GroupLost(group_index))
        self._board.lose_group(group_index, why)
        return True

    def remove_group(self, group_index: int) -> None:
        """The group was stopped, and does not come back under this index."""
        self._links.lose(group_index)
        self._post(GroupRemoved(group_index))
        self._table.remove(group_index)
        self._generations.forget_group(group_index)
        self._learned.forget(group_index)
        self._board.remove_group(group_index)

    @property
    def groups(self) -> Mapping[int, Group]:
        """Those that are there now, by index."""
        return self._table.groups

    @property
    def placement(self) -> Placement:
        """What is there now."""
        return self._table.placement

    def beat_of(self, group_index: int) -> Beat | None:
        return self._links.beat_of(group_index)

    def heard_s(self, group_index: int) -> float | None:
        """When its last beat came, by the clock; None before the first."""
        return self._links.heard_s(group_index)

    def in_flight_of(self, group_index: int, model: str | None = None) -> int:
        """Requests given to the group and not settled, of the model or of all."""
        return self._machine.group_in_flight(group_index, model)

    def corrections(self) -> Mapping[tuple[str, int], Correction]:
        """How long lone batches take against their profile, by model and index of the group."""
        return self._learned.found()

    def is_open(self, group_index: int) -> bool:
        return self._board.is_open(group_index)

    def replica_state(self, group_index: int, model: str) -> ModelState:
        """Of one replica of a model that the group holds or is to hold."""
        return self._board.replica_state(group_index, model)

    def loss_of(self, group_index: int) -> str:
        """Why the group is lost, empty if it is not."""
        return self._board.loss_of(group_index)
