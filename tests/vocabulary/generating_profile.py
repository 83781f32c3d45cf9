"""The profile of deploy/examples/generate: an 8-billion-parameter model on A100s, estimated by one formula.

`python -m tests.vocabulary.generating_profile` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

from vocabulary.formats.profile import format_profile
from vocabulary.generation import StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of

PATH = Path(__file__).parents[2] / "deploy" / "examples" / "generate" / "profiles" / "chat-8b.json"
NUM_WEIGHTS = 8_030_000_000
NUM_LAYERS, NUM_KV_HEADS, HEAD_SIZE = 32, 8, 128
BYTES_PER_NUMBER = 2
# An A100-SXM-80GB moves 2.04e12 bytes/s and computes 3.12e14 flop/s in bfloat16; what of it serving reaches.
BYTES_PER_S = 0.7 * 2.04e12
FLOPS_PER_S = 0.5 * 3.12e14
LAUNCH_S = 0.001
# Two all-reduces a layer of 8,192 bytes a token, at 200 GB/s of NVLink, where operators are split.
ALL_REDUCE_S = 2 * NUM_LAYERS * 8192 / 2e11
NOTE = (
    "weights, keys and values are read at 70 % of an A100's bandwidth, 2 flops a weight and token at 50 % of "
    "its bfloat16 rate, 1 ms to launch; stage_latency_s is what an answer of 200 tokens to a prompt of 1,000 "
    "adds to the work of a stage where 32 share a step: what plans are scored with"
)


def estimated() -> Profile:
    entries = [_entry(ParallelConfig(tensor, pipeline)) for tensor in (1, 2, 4) for pipeline in (1, 2)]
    provenance = Provenance("estimated", NOTE)
    return profile_of("chat-8b", "nvidia-a100-80g", entries, provenance=provenance)


def _entry(config: ParallelConfig) -> ProfileEntry:
    stages, devices = config.pipeline, config.num_devices
    kv_bytes = 2 * NUM_LAYERS * NUM_KV_HEADS * HEAD_SIZE * BYTES_PER_NUMBER
    reduce_s = ALL_REDUCE_S / stages if config.tensor > 1 else 0.0
    times = StepTimes(
        constant_s=round(LAUNCH_S + NUM_WEIGHTS * BYTES_PER_NUMBER / BYTES_PER_S / devices, 6),
        token_s=round(2 * NUM_WEIGHTS / FLOPS_PER_S / devices + reduce_s, 9),
        kv_token_s=round(kv_bytes / BYTES_PER_S / devices, 12),
    )
    work_s = round(1200 * times.token_s + 200 * (times.constant_s / 32 + 1100 * times.kv_token_s), 6)
    return ProfileEntry(
        config,
        (NUM_WEIGHTS * BYTES_PER_NUMBER // devices,) * stages,
        {1: (2**30 // config.tensor,) * stages},
        {1: (work_s,) * stages},
        (times,) * stages,
        (kv_bytes // devices,) * stages,
    )


if __name__ == "__main__":
    PATH.write_text(format_profile(estimated()))
