"""The models of a follower, which come and go while its stages compute, as the leader asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import final

import structlog

from vocabulary.errors import RuntimeFailure
from workers.loading import LoadedModel, Loader
from workers.multicast import Multicast
from workers.notes import Drop, More, NoteLink, Prepare, Ready, refusal
from workers.spec import WorkerSpec
from workers.stage_line import trace_of

_log = structlog.get_logger("statmux.worker")
Change = More | Prepare | Drop


@final
class FollowerModels:
    """Models that are ready, by name. What is asked is done on a thread, in its order; the leader hears how.

    learned: the spec with all models that the group is to have.
    """

    def __init__(
        self,
        models: Mapping[str, LoadedModel],
        loader: Loader,
        link: NoteLink,
        *,
        learned: Callable[[], WorkerSpec],
    ) -> None:
        self._models = dict(models)
        self._loader = loader
        self._link = link
        self._learned = learned
        self._asked: SimpleQueue[Change | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="models", daemon=True)
        self._thread.start()

    def __getitem__(self, name: str) -> LoadedModel:
        return self._models[name]

    @property
    def num_recompiles(self) -> int:
        return sum(one.num_recompiles for one in self._models.values())

    def ask(self, change: Change) -> None:
        """Returns at once."""
        self._asked.put(change)

    def close(self) -> None:
        """What has not begun is dropped."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (change := self._asked.get()) is not None:
            match change:
                case More(models, expected):
                    self._answered(self._read_more, models, expected)
                case Prepare(multicasts):
                    self._answered(self._add, multicasts)
                case Drop(models):
                    self._drop(models)

    def _answered(self, perform: Callable[..., None], *asked: object) -> None:
        try:
            perform(*asked)
        except Exception as error:
            self._loader.drop_unfinished()
            _log.error("models were not added", exception=trace_of(error))
            self._link.send(refusal(error))
        else:
            self._link.send(Ready())

    def _read_more(self, models: Collection[str], expected: Collection[str]) -> None:
        spec = self._learned()
        unknown = set(models) - {one.name for one in spec.models}
        if unknown:
            raise RuntimeFailure(
                f"a follower of group {spec.group.id} was not told of {', '.join(sorted(unknown))}",
                hint="stop the group and start it with its new models",
            )
        wanted = tuple(one for one in spec.models if one.name in {*models, *self._models})
        self._loader.read_more(replace(spec, models=wanted), expected=expected)

    def _add(self, multicasts: Sequence[Multicast]) -> None:
        self._loader.receive(multicasts)
        self._models = {**self._models, **self._loader.compile()}

    def _drop(self, models: Collection[str]) -> None:
        self._models = {name: model for name, model in self._models.items() if name not in models}
        self._loader.drop_unfinished()
        try:
            self._loader.remove(models, within_s=self._learned().peer_timeout_s)
        except RuntimeFailure as error:
            _log.error("models keep their memory", why=str(error))
