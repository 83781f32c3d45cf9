"""Calls of the v2 protocol as values: the request to send, and how to read its response. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controller.grpc_v2.messages import SERVICE, message_class
from vocabulary.errors import InvalidInput
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.tensors import Tensor, TensorSpec

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Operation(Generic[Result]):
    """One unary call."""

    rpc: str
    request: object
    read: Callable[[object], Result]

    @property
    def path(self) -> str:
        return f"/{SERVICE}/{self.rpc}"

    @property
    def response_class(self) -> type:
        return message_class(f"{self.rpc}Response")


@dataclass(frozen=True, slots=True)
class InferResult:
    """Outputs by name.

    group: who worked on it; queue_s: seconds until it was begun, execute_s: from then until it was done; ""
    and None if the server did not say.
    """

    outputs: Mapping[str, NDArray]
    model: str
    version: str
    request_id: str
    group: str
    queue_s: float | None
    execute_s: float | None


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A line of the repository's index. state: READY, LOADING, UNLOADING or UNAVAILABLE; reason: why."""

    name: str
    version: str
    state: str
    reason: str


def infer(
    model: str,
    inputs: Mapping[str, ArrayLike],
    *,
    metadata: ModelMetadata | None,
    outputs: Sequence[str],
    slo_ms: float | None,
    priority: int,
    request_id: str,
) -> Operation[InferResult]:
    """Arrays go as they are; lists take the datatypes that `metadata` names, if given.

    Raises InvalidInput if an input has no datatype of the protocol or does not fit that of the model.
    """
    request = message_class("ModelInferRequest")(model_name=model, id=request_id)
    for name, values in inputs.items():
        tensor = _tensor(name, values, metadata)
        request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.raw)
    for name in outputs:
        request.outputs.add(name=name)
    if slo_ms is not None:
        request.parameters["slo_ms"].double_param = slo_ms
    if priority:
        request.parameters["priority"].int64_param = priority
    return Operation("ModelInfer", request, _infer_result)


def model_metadata(model: str, version: str) -> Operation[ModelMetadata]:
    request = message_class("ModelMetadataRequest")(name=model, version=version)
    return Operation("ModelMetadata", request, _metadata)


def models() -> Operation[tuple[ModelEntry, ...]]:
    return Operation("RepositoryIndex", message_class("RepositoryIndexRequest")(), _entries)


def is_live() -> Operation[bool]:
    return Operation("ServerLive", message_class("ServerLiveRequest")(), lambda response: response.live)


def is_ready() -> Operation[bool]:
    return Operation("ServerReady", message_class("ServerReadyRequest")(), lambda response: response.ready)


def is_model_ready(model: str) -> Operation[bool]:
    request = message_class("ModelReadyRequest")(name=model)
    return Operation("ModelReady", request, lambda response: response.ready)


def load(model: str) -> Operation[None]:
    request = message_class("RepositoryModelLoadRequest")(model_name=model)
    return Operation("RepositoryModelLoad", request, lambda _: None)


def unload(model: str) -> Operation[None]:
    request = message_class("RepositoryModelUnloadRequest")(model_name=model)
    return Operation("RepositoryModelUnload", request, lambda _: None)


def needs_metadata(inputs: Mapping[str, ArrayLike]) -> bool:
    """Whether an input leaves open which datatype it is meant to have."""
    return not all(isinstance(values, np.ndarray) for values in inputs.values())


def _tensor(name: str, values: ArrayLike, metadata: ModelMetadata | None) -> Tensor:
    specs = metadata.inputs if metadata is not None and not isinstance(values, np.ndarray) else ()
    datatype = next((spec.datatype for spec in specs if spec.name == name), None)
    try:
        return tensor_of(name, values, datatype=datatype)
    except ValueError as error:
        raise InvalidInput(f"input {name!r}: {error}") from error


def _infer_result(response: object) -> InferResult:
    raws = response.raw_output_contents
    outputs = {
        output.name: array_of(Tensor(output.name, output.datatype, tuple(output.shape), raw))
        for output, raw in zip(response.outputs, raws, strict=True)
    }
    parameters = response.parameters
    return InferResult(
        outputs=outputs,
        model=response.model_name,
        version=response.model_version,
        request_id=response.id,
        group=parameters["statmux_group"].string_param if "statmux_group" in parameters else "",
        queue_s=_seconds(parameters, "statmux_queue_us"),
        execute_s=_seconds(parameters, "statmux_execute_us"),
    )


def _seconds(parameters: Mapping[str, object], name: str) -> float | None:
    """A look at a missing key would create it."""
    return parameters[name].int64_param * 1e-6 if name in parameters else None  # type: ignore[attr-defined]


def _metadata(response: object) -> ModelMetadata:
    inputs, outputs = (
        tuple(TensorSpec(item.name, item.datatype, tuple(item.shape)) for item in items)
        for items in (response.inputs, response.outputs)
    )
    return ModelMetadata(response.name, tuple(response.versions), response.platform, inputs, outputs)


def _entries(response: object) -> tuple[ModelEntry, ...]:
    return tuple(ModelEntry(item.name, item.version, item.state, item.reason) for item in response.models)
