"""How far estimated profiles are from profiles that were measured or published: ratios estimated / known.

python -m benchmarks.estimates --data DATA [--cpu]

Published: the seven profiles of AlpaServe's models (DATA/alpaserve/profiles; their provenance says what of
them was measured on V100s and what was made from that). Measured: small models on this machine's CPU, --cpu.
Means are geometric, over all configurations and batch sizes. "Completed": all but the one or three
configurations of fewest devices are estimated, scaled to those.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from placement.costs.completing import completed
from placement.costs.devices import device_type
from placement.costs.estimate import Workload, estimated_profile
from statmux.profiling.shapes import shape_of_model
from vocabulary.formats.disk import load_profile
from vocabulary.model_shape import ModelShape
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of

SIZES = (1, 4, 16)
ONE = ParallelConfig(1, 1)


def _bert(layers: int, hidden: int, heads: int) -> ModelShape:
    return ModelShape(
        layers, hidden, heads, heads, hidden // heads, 4 * hidden, 51200, num_positions=2048, is_tied=False
    )


def _moe(hidden: int) -> ModelShape:
    """Every second layer has 16 experts of width 8 H, of which a token uses two."""
    return ModelShape(
        16, hidden, 16, 16, hidden // 16, 8 * hidden, 32000, num_positions=2048, num_experts=16,
        num_computed=2, expert_interval=2,
    )  # fmt: skip


# alpa-projects/alpa, benchmark/alpa/suite_manual_gpt.py and suite_manual_moe.py. Of bert-103.5b and moe-5.3b
# the shape is inferred from the number of parameters.
SHAPES: Mapping[str, ModelShape] = {
    "bert-1.3b": _bert(24, 2048, 32),
    "bert-2.6b": _bert(32, 2560, 32),
    "bert-6.7b": _bert(32, 4096, 32),
    "bert-103.5b": _bert(128, 8192, 64),
    "moe-1.3b": _moe(768),
    "moe-2.4b": _moe(1024),
    "moe-5.3b": _moe(1536),
}
CPU_MODELS = ("bert-small", "gpt2-small", "llama-small", "mixtral-small")
CPU_SIZES, NUM_ROUNDS = (1, 4), 40
CPU_CONFIGS = tuple(ParallelConfig(tensor, pipeline) for tensor in (1, 2) for pipeline in (1, 2))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with alpaserve/profiles")
    parser.add_argument("--cpu", action="store_true", help="measure small models here")
    arguments = parser.parse_args()
    if arguments.data:
        published(arguments.data / "alpaserve" / "profiles")
    if arguments.cpu:
        on_this_cpu()
    return 0


def published(folder: Path) -> None:
    print("| model | 1 x 1 | tensor 2 | tensor 4 | tensor 8 | pipeline 8 | weights | all: mean | worst "
          "| completed from one: mean | worst | from three: mean | worst |")  # fmt: skip
    print("|" + "---|" * 13)
    for name, shape in SHAPES.items():
        known = load_profile(folder / f"{name}.json")
        workload = Workload(2048, "float16")
        device = device_type("v100-16g")
        found = estimated_profile(
            name, shape, device, configs=list(known.entries), batch_sizes=SIZES, workload=workload
        )
        by_devices = sorted(known.entries, key=lambda config: (config.num_devices, config.tensor))
        smallest = by_devices[0]
        from_one, from_three = (completed(_only(known, by_devices[:count]), found) for count in (1, 3))
        shown = [ratio(found, known, ParallelConfig(*config), 1)
                 for config in ((1, 1), (2, 1), (4, 1), (8, 1), (1, 8))]  # fmt: skip
        weights = sum(found.entries[smallest].weight_bytes) / sum(known.entries[smallest].weight_bytes)
        errors = [*_errors(found, known), *_errors(from_one, known), *_errors(from_three, known)]
        cells = [*map(_cell, shown), f"{weights:.3f}", *errors]
        print(f"| {name} | {' | '.join(cells)} |")


def on_this_cpu() -> None:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
    print(f"\nload average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(
        "| model | tensor x pipeline | batch | measured (ms) | estimated / measured | completed / measured |"
    )
    print("|---|---|---|---|---|---|")
    everything, completions = [], []
    for name in CPU_MODELS:
        source = f"random://{name}"
        entries = [quickest(source, config) for config in CPU_CONFIGS]
        known = profile_of(name, "cpu", entries, provenance=Provenance("measured"), sequence_length=128)
        found = estimated_profile(
            name, shape_of_model(source, folder=Path()), device_type("cpu"), configs=list(known.entries),
            batch_sizes=CPU_SIZES, workload=Workload(128, "float32"),
        )  # fmt: skip
        scaled = completed(_only(known, [ONE]), found)
        for config, entry in known.entries.items():
            for size in entry.batch_sizes:
                raw, better = (ratio(one, known, config, size) for one in (found, scaled))
                everything.append(raw)
                completions += [better] if config != ONE else []
                measured_s = sum(entry.stage_latency_s[size])
                print(f"| {name} | {config.tensor} x {config.pipeline} | {size} | {measured_s * 1e3:.2f} "
                      f"| {raw:.2f} | {better:.2f} |")  # fmt: skip
    print(f"\nestimated / measured: geometric mean {mean(everything):.2f}, worst {worst(everything):.2f}")
    print(
        f"completed from (1, 1) alone: geometric mean {mean(completions):.2f}, worst {worst(completions):.2f}"
    )


def quickest(source: str, config: ParallelConfig) -> ProfileEntry:
    """The best of NUM_ROUNDS runs through all stages: others use the cores too, and the median is theirs."""
    import jax
    import numpy as np

    from workers.model import load_model

    model = load_model(
        source, config=config, devices=jax.devices()[: config.num_devices], batch_buckets=CPU_SIZES,
        sequence_buckets=(128,), base_dir=Path(),
    )  # fmt: skip
    model.compile()
    ids = np.arange(128)[None] % 90 + 5
    request = {one.name: np.ones_like(ids) if "mask" in one.name else ids for one in model.inputs}
    latency_s = {}
    for size in CPU_SIZES:
        runs_s = []
        for _ in range(NUM_ROUNDS):
            start_s = time.perf_counter()
            model.unpad(model.run(model.pad([request] * size)))
            runs_s.append(time.perf_counter() - start_s)
        # Stages are not told apart: ratios are of all together.
        latency_s[size] = (min(runs_s) / config.pipeline,) * config.pipeline
    activation_bytes = {size: model.activation_bytes_per_stage(size) for size in CPU_SIZES}
    print(source, config, file=sys.stderr)
    return ProfileEntry(config, model.weight_bytes_per_stage, activation_bytes, latency_s)


def ratio(found: Profile, known: Profile, config: ParallelConfig, size: int) -> float:
    """Of a batch through all stages; nan where one of both does not know."""
    entries = [one.entries.get(config) for one in (found, known)]
    if any(one is None or size not in one.stage_latency_s for one in entries):
        return math.nan
    found_s, known_s = (sum(one.stage_latency_s[size]) for one in entries if one is not None)
    return found_s / known_s


def _only(known: Profile, configs: Sequence[ParallelConfig]) -> Profile:
    return replace(known, entries={config: known.entries[config] for config in configs})


def _errors(found: Profile, known: Profile) -> tuple[str, str]:
    ratios = [ratio(found, known, config, size) for config in known.entries for size in SIZES]
    return _cell(mean(ratios)), _cell(worst(ratios))


def mean(ratios: Iterable[float]) -> float:
    logs = [math.log(one) for one in ratios if not math.isnan(one)]
    return math.exp(sum(logs) / len(logs))


def worst(ratios: Iterable[float]) -> float:
    return max((one for one in ratios if not math.isnan(one)), key=lambda one: abs(math.log(one)))


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
