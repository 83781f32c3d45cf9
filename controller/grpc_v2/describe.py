"""The RPCs that describe and load: server, models, configuration, statistics, repository."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import final

from controller.calls import ModelState, ModelView, Reason, Refusal
from controller.fleet import Fleet
from controller.grpc_v2.checks import check_version, unknown_model
from controller.grpc_v2.messages import message_class
from controller.grpc_v2.refusals import Refused
from controller.grpc_v2.text_interface import shown
from controller.grpc_v2.views import config_of, index_entries, metadata_of, statistics_of
from controller.text import TextFront
from controller.versioned import name_of
from vocabulary.versions import parted, spec_name

SERVER_NAME = "statmux"
EXTENSIONS = (
    "model_repository", "schedule_policy", "parameters", "statistics", "model_configuration", "statmux_slo",
)  # fmt: skip

# All of `Description.rpcs`, but what is told to everybody.
DESCRIBING_RPCS = (
    "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex",
    "RepositoryModelLoad", "RepositoryModelUnload",
)  # fmt: skip

Rpc = Callable[[object], Awaitable[object]]


@final
class Description:
    """Answers from what the fleet says at the moment; keeps nothing. RPCs raise Refused."""

    def __init__(self, fleet: Fleet, text: TextFront) -> None:
        self._fleet = fleet
        self._text = text

    def rpcs(self) -> dict[str, Rpc]:
        """Each RPC by its name; all are unary."""
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }

    async def server_live(self, request: object) -> object:
        return message_class("ServerLiveResponse")(live=True)

    async def server_ready(self, request: object) -> object:
        return message_class("ServerReadyResponse")(ready=self._fleet.is_ready())

    async def server_metadata(self, request: object) -> object:
        version = metadata.version(SERVER_NAME)
        response = message_class("ServerMetadataResponse")
        return response(name=SERVER_NAME, version=version, extensions=EXTENSIONS)

    async def model_ready(self, request: object) -> object:
        """False for a known model that is not ready or lacks the version; never an error for a known name."""
        view = self._view(name_of(self._fleet.models(), request.name, request.version))
        has_version = not request.version or request.version in view.versions
        return message_class("ModelReadyResponse")(ready=has_version and view.state is ModelState.READY)

    async def model_metadata(self, request: object) -> object:
        return metadata_of(self._shown(request.name, request.version))

    async def model_config(self, request: object) -> object:
        return message_class("ModelConfigResponse")(
            config=config_of(self._shown(request.name, request.version))
        )

    async def model_statistics(self, request: object) -> object:
        """Of one model, or of all without a name."""
        views = [self._view(request.name, request.version)] if request.name else self._views()
        views = [own for view in views for own in self._own_views(view)]
        stats = [statistics_of(view, self._fleet.statistics(view.name)) for view in views]
        return message_class("ModelStatisticsResponse")(model_stats=stats)

    async def repository_index(self, request: object) -> object:
        self._check_repository(request.repository_name)
        views = [view for view in self._views() if not request.ready or view.state is ModelState.READY]
        entries = [entry for view in views for own in self._own_views(view) for entry in index_entries(own)]
        return message_class("RepositoryIndexResponse")(models=entries)

    async def load(self, request: object) -> object:
        name = self._repository_model(request)
        _raise(await self._fleet.load(name))
        return message_class("RepositoryModelLoadResponse")(model_name=name, isLoaded=True)

    async def unload(self, request: object) -> object:
        name = self._repository_model(request)
        _raise(await self._fleet.unload(name))
        return message_class("RepositoryModelUnloadResponse")(model_name=name, isUnloaded=True)

    def _repository_model(self, request: object) -> str:
        # KServe's client writes the model's name where Triton's has the repository's.
        name = self._view(request.model_name or request.repository_name).name
        for parameter in request.parameters:
            if parameter != "unload_dependents":
                message = f"load parameter {parameter[:80]!r} is not supported; change the deployment file"
                raise Refused(Reason.UNSUPPORTED, message)
        return name

    def _check_repository(self, repository: str) -> None:
        if repository:
            raise Refused(Reason.UNSUPPORTED, "there is one model repository; leave repository_name empty")

    def _view(self, name: str, version: str = "") -> ModelView:
        models = self._fleet.models()
        view = models.get(name_of(models, name, version))
        if view is None:
            raise unknown_model(name, list(models))
        check_version(view, version)
        return view

    def _shown(self, name: str, version: str) -> ModelView:
        models = self._fleet.models()
        known_as = name_of(models, name, version)
        has_text = self._text.text(known_as).codec is not None if known_as in models else False
        return shown(self._view(name, version), has_text=has_text)

    def _views(self) -> list[ModelView]:
        """Each model once, whatever aliases and versions it has."""
        views = {view.name: view for view in self._fleet.models().values()}
        whole = {view.name for view in views.values()}
        return [view for view in views.values() if parted(view.name)[0] not in whole - {view.name}]

    def _own_views(self, view: ModelView) -> list[ModelView]:
        """Those of its versions, where it has several; else its own."""
        models = self._fleet.models()
        names = [spec_name(view.name, version) for version in view.versions]
        return [models[name] for name in names] if all(name in models for name in names) else [view]


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise Refused(refusal.reason, refusal.message, retry_after_s=refusal.retry_after_s)
