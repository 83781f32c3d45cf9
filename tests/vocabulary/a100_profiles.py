"""The estimated profiles of deploy/examples/a100x16, from a roofline formula; as a module, it writes them.

python -m tests.vocabulary.a100_profiles
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vocabulary.formats.profile import format_profile
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of

FOLDER = Path(__file__).parents[2] / "deploy" / "examples" / "a100x16" / "profiles"
# NVIDIA's data sheet of the A100-80G SXM: 312 TFLOP/s dense bf16, 2039 GB/s memory, 300 GB/s NVLink each way.
PEAK_FLOPS = 312e12
MEMORY_BYTES_PER_S = 2039e9
LINK_BYTES_PER_S = 300e9
# Of the peak, what large matrix products commonly reach.
EFFICIENCY = 0.5
LINK_LATENCY_S = 20e-6
BYTES_PER_NUMBER = 2
SEQUENCE_LENGTH = 512
BATCH_SIZES = (1, 2, 4, 8)
CONFIGS = tuple(ParallelConfig(tensor, pipeline) for tensor in (1, 2, 4, 8) for pipeline in (1, 2, 4, 8))
NOTE = (
    "Estimated, not measured: a layer has 12 h^2 weights in bf16; a stage takes the larger of its FLOPs at "
    "half of 312 TFLOP/s and its weights at 2039 GB/s, plus two ring all-reduces a layer over tensor devices "
    "at 300 GB/s and 20 us, plus one hop to the next stage; 512 tokens, one forward pass."
)


@dataclass(frozen=True, slots=True)
class Size:
    """A transformer by its layers and hidden size."""

    name: str
    num_layers: int
    hidden: int


SIZES = (Size("gpt-2.6b", 32, 2560), Size("gpt-6.7b", 32, 4096), Size("gpt-13b", 40, 5120))


def estimated(size: Size) -> Profile:
    """The profile of a size on every configuration that cuts its layers evenly."""
    entries = [_entry(size, config) for config in CONFIGS if size.num_layers % config.pipeline == 0]
    provenance = Provenance("estimated", NOTE)
    return profile_of(
        size.name, "nvidia-a100-80g", entries, provenance=provenance, sequence_length=SEQUENCE_LENGTH
    )


def _entry(size: Size, config: ParallelConfig) -> ProfileEntry:
    num_layers = size.num_layers // config.pipeline
    weight_bytes = 12 * size.hidden**2 * num_layers * BYTES_PER_NUMBER // config.tensor
    activation_bytes = 8 * SEQUENCE_LENGTH * size.hidden * BYTES_PER_NUMBER // config.tensor
    return ProfileEntry(
        config,
        (weight_bytes,) * config.pipeline,
        {batch: (batch * activation_bytes,) * config.pipeline for batch in BATCH_SIZES},
        {batch: _stages_s(size, config, batch, weight_bytes) for batch in BATCH_SIZES},
    )


def _stages_s(size: Size, config: ParallelConfig, batch: int, weight_bytes: int) -> tuple[float, ...]:
    num_layers = size.num_layers // config.pipeline
    num_tokens = batch * SEQUENCE_LENGTH
    flops = num_layers * (24 * num_tokens * size.hidden**2 + 4 * num_tokens * SEQUENCE_LENGTH * size.hidden)
    compute_s = max(flops / config.tensor / (EFFICIENCY * PEAK_FLOPS), weight_bytes / MEMORY_BYTES_PER_S)
    layer_bytes = num_tokens * size.hidden * BYTES_PER_NUMBER
    ring = 2 * (config.tensor - 1) / config.tensor
    reduce_s = ring * layer_bytes / LINK_BYTES_PER_S + LINK_LATENCY_S if config.tensor > 1 else 0.0
    hop_s = layer_bytes / LINK_BYTES_PER_S + LINK_LATENCY_S
    stage_s = compute_s + 2 * num_layers * reduce_s
    return tuple(
        round(stage_s + (hop_s if stage < config.pipeline - 1 else 0.0), 9)
        for stage in range(config.pipeline)
    )


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for one in SIZES:
        (FOLDER / f"{one.name}.json").write_text(format_profile(estimated(one)))
