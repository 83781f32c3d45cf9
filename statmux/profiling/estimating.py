"""`statmux profile --estimate` and `--complete`: profiles from a model's shape and a device type's speeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from placement.costs.completing import completed, measured_part
from placement.costs.devices import DeviceType, device_type
from placement.costs.estimate import Workload, estimated_profile
from statmux.profiling.measuring import configs_of
from statmux.profiling.shapes import shape_of_model
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.model_shape import ModelShape
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked an estimate of; None where the file, or the default, says."""

    device_type: str | None = None
    dtype: str | None = None
    tensor: tuple[int, ...] = (1,)
    pipeline: tuple[int, ...] = (1,)
    batch_sizes: tuple[int, ...] = (1,)
    sequence_length: int | None = None
    generates: bool = False

    @property
    def configs(self) -> list[ParallelConfig]:
        return [ParallelConfig(tensor, pipeline) for tensor in self.tensor for pipeline in self.pipeline]


DEFAULT_SEQUENCE_LENGTH = 512


def estimated_model(name: str, model: str, wanted: Wanted) -> Profile:
    """Of a model named on the command line. Raises InvalidInput, Infeasible."""
    if wanted.device_type is None:
        raise InvalidInput("no device type to estimate for", hint="give --device-type, like a100-80g")
    shape = shape_of_model(model, folder=Path())
    device = device_type(wanted.device_type)
    return estimated_profile(
        name,
        shape,
        device,
        configs=wanted.configs,
        batch_sizes=wanted.batch_sizes,
        workload=_workload(shape, device, wanted, wanted.sequence_length or DEFAULT_SEQUENCE_LENGTH),
    )


def estimated_of_deployment(model: ModelSpec, deployment: Deployment, wanted: Wanted) -> Profile:
    """Of a model of a deployment, at its batch sizes and its longest sequence, on the first node class."""
    assert model.source is not None, model
    node = deployment.cluster.nodes[0]
    shape = shape_of_model(model.source, folder=Path(deployment.folder))
    device = device_type(wanted.device_type or node.device_type)
    found = estimated_profile(
        model.name,
        shape,
        device,
        configs=configs_of(model, node),
        batch_sizes=model.batch_sizes,
        workload=_workload(shape, device, wanted, max(model.sequence_lengths)),
    )
    return replace(found, device_type=node.device_type)


def completed_profile(profile: Profile, model: str, wanted: Wanted) -> Profile:
    """With the configurations that it lacks, cut by measured parts where there are any.

    Raises InvalidInput where nothing was measured to scale to.
    """
    measured = measured_part(profile)
    if not measured.entries:
        raise InvalidInput(
            f"the profile of {profile.model} has no measured configuration to complete from",
            hint="measure one: statmux profile DEPLOYMENT; or estimate all: --estimate",
        )
    shape = shape_of_model(model, folder=Path())
    device = device_type(wanted.device_type or profile.device_type)
    length = wanted.sequence_length or profile.sequence_length or DEFAULT_SEQUENCE_LENGTH
    sizes = sorted({size for entry in measured.entries.values() for size in entry.batch_sizes})
    estimates = estimated_profile(
        profile.model,
        shape,
        device,
        configs=sorted({*wanted.configs, *measured.entries}),
        batch_sizes=sizes,
        workload=_workload(
            shape, device, replace(wanted, generates=wanted.generates or _generates(measured)), length
        ),
        measured_parts={
            config.tensor: entry.part_s for config, entry in measured.entries.items() if entry.part_s
        },
    )
    if not set(estimates.entries) & set(measured.entries):
        raise InvalidInput(
            f"no configuration of the profile can be estimated with {shape.num_layers} layers",
            hint="is --model the model that was profiled?",
        )
    return completed(measured, estimates)


def _generates(profile: Profile) -> bool:
    return any(entry.step_times for entry in profile.entries.values())


def _workload(shape: ModelShape, device: DeviceType, wanted: Wanted, length: int) -> Workload:
    dtype = wanted.dtype or device.default_dtype
    device.check_dtype(dtype)
    if wanted.generates and not shape.is_causal:
        raise InvalidInput("an encoder generates nothing", hint="leave --generate out")
    return Workload(length, dtype, generates=wanted.generates)


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """`1,2,4` as numbers. Raises InvalidInput with the option's name."""
    parts = [part.strip() for part in text.split(",")]
    wrong: Sequence[str] = [part for part in parts if not part.isdecimal() or not 1 <= int(part) <= 2**20]
    if wrong:
        raise InvalidInput(f"{wrong[0]!r} is not a positive whole number", where=option, hint="write 1,2,4")
    return tuple(sorted({int(part) for part in parts}))
