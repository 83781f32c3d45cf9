"""A model's view and statistics as messages of the protocol."""

from __future__ import annotations

from collections.abc import Mapping

from controller.calls import ModelStatistics, ModelView
from controller.grpc_v2.messages import message_class
from controller.grpc_v2.text_interface import optional_inputs
from vocabulary.tensors import TensorSpec
from vocabulary.versions import parted

_NS_PER_S = 1e9
_MS_PER_S = 1e3
_CONFIG_TYPES: Mapping[str, str] = {"BYTES": "TYPE_STRING"}

_Metadata = message_class("ModelMetadataResponse")
_Config = message_class("ModelConfig")
_Statistics = message_class("ModelStatistics")
_Index = message_class("RepositoryIndexResponse.ModelIndex")


def metadata_of(view: ModelView) -> object:
    """ModelMetadataResponse."""
    response = _Metadata(
        name=view.name, versions=view.versions, platform=view.platform, properties=dict(view.properties)
    )
    for specs, tensors in ((view.inputs, response.inputs), (view.outputs, response.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
    return response


def config_of(view: ModelView) -> object:
    """ModelConfig. As in Triton, dims leave the batch dimension out where the model has one."""
    config = _Config(
        name=view.name, platform=view.platform, backend=view.platform, max_batch_size=view.max_batch_size
    )
    config.model_transaction_policy.decoupled = view.generation is not None
    optional = optional_inputs(view)
    for specs, tensors in ((view.inputs, config.input), (view.outputs, config.output)):
        for spec in specs:
            tensors.add(name=spec.name, data_type=_config_type(spec), dims=_dims(spec, view.max_batch_size))
    for tensor in config.input:
        tensor.optional = tensor.name in optional
    return config


def statistics_of(view: ModelView, totals: ModelStatistics) -> object:
    """ModelStatistics, of the newest version."""
    message = _Statistics(
        name=parted(view.name)[0],
        version=view.versions[-1],
        last_inference=round(totals.last_inference_s * _MS_PER_S),
        inference_count=totals.num_served,
        execution_count=totals.num_batches,
    )
    durations = {
        "success": (totals.num_served, totals.served_s),
        "fail": (totals.num_failed, totals.failed_s),
        "queue": (totals.num_served, totals.queue_s),
        "compute_input": (totals.num_served, 0.0),
        "compute_infer": (totals.num_served, totals.execute_s),
        "compute_output": (totals.num_served, 0.0),
    }
    for name, (count, seconds) in durations.items():
        duration = getattr(message.inference_stats, name)
        duration.count, duration.ns = count, round(seconds * _NS_PER_S)
    return message


def index_entries(view: ModelView) -> list[object]:
    """One ModelIndex per version."""
    state, reason = view.state.value, view.state_reason
    name = parted(view.name)[0]
    return [_Index(name=name, version=version, state=state, reason=reason) for version in view.versions]


def _config_type(spec: TensorSpec) -> str:
    return _CONFIG_TYPES.get(spec.datatype, f"TYPE_{spec.datatype}")


def _dims(spec: TensorSpec, max_batch_size: int) -> tuple[int, ...]:
    return spec.shape[1:] if max_batch_size > 0 else spec.shape
