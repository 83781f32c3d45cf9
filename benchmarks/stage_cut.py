"""The min-max stage cut against the uniform one: overhead of estimated pipelines, and a measured model.

python -m benchmarks.stage_cut [--measure]

Overhead of a pipeline: device-seconds per request beyond the model's work, that is stages x slowest stage
less all parts. Parts are the embedding, half layers (attention, feed-forward) and the head, as Alpa cuts.
None of these costs was measured part by part. "Table 1": AlpaServe's single-GPU latency spread over equal
layers, with a quarter of a layer for the embedding and three quarters for the head, as in the published-like
profiles. "Roofline": estimated. Beside them the paper's figures for its two models at 8 stages. --measure: a
decoder with a large vocabulary on this machine's CPU, one thread a device.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np

from benchmarks.estimates import SHAPES
from placement.costs.devices import device_type
from placement.costs.parts import cut_parts, layers_of
from placement.costs.roofline import (
    LAYER_OPERATORS,
    Setting,
    attention_s,
    feed_forward_s,
    output_bytes,
    part_costs,
)
from placement.stages import cut_stages, even_stages, slowest_stage_s
from vocabulary.model_shape import ModelShape

STAGES = (2, 4, 8)
NUM_BATCHES, NUM_ROUNDS, NUM_ALONE = 12, 15, 5
CONFIG = {
    "model_type": "gpt2", "n_layer": 8, "n_embd": 384, "n_head": 6, "vocab_size": 24576, "n_positions": 128,
    "tie_word_embeddings": True,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="run a model with both cuts")
    estimated_overheads()
    if parser.parse_args().measure:
        measured()
    return 0


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of the embedding, of both halves of each layer, of the head, and of passing an output on."""

    name: str
    halves_s: tuple[float, ...]
    passed_s: float
    paper: str = ""

    @property
    def layers_s(self) -> list[float]:
        first, *inner, last = self.halves_s
        return [first, *(one + other for one, other in zip(inner[::2], inner[1::2], strict=True)), last]


def cases() -> list[Parts]:
    """The paper's two models, the same by roofline, and models whose layers are more uneven."""
    wide = ModelShape(18, 2048, 16, 16, 128, 8192, 256_000, num_positions=2048)
    sparse = replace(SHAPES["moe-5.3b"], expert_interval=4)
    return [
        from_table_1("bert-1.3b, Table 1", 0.151, 24, paper="32.9 %"),
        from_table_1("bert-2.6b, Table 1", 0.238, 32, paper="46.7 %"),
        from_roofline("bert-1.3b, roofline", SHAPES["bert-1.3b"]),
        from_roofline("bert-2.6b, roofline", SHAPES["bert-2.6b"]),
        from_roofline("18 layers, vocabulary of 256,000, roofline", wide),
        from_roofline("experts in every fourth layer, roofline", sparse),
    ]


def from_table_1(name: str, whole_s: float, num_layers: int, *, paper: str = "") -> Parts:
    half_s = whole_s / (num_layers + 1) / 2
    return Parts(name, (0.5 * half_s, *[half_s] * (2 * num_layers), 1.5 * half_s), 0.4e-3, paper)


def from_roofline(name: str, shape: ModelShape) -> Parts:
    setting = Setting(shape, device_type("v100-16g"), "float16", 1, 2048)
    return Parts(name, tuple(half_layers(setting)), setting.device.link.seconds(output_bytes(setting, 1)))


def estimated_overheads() -> None:
    print("| costs | stages | uniform (ms) | min-max of layers (ms) | min-max of half layers (ms) "
          "| less overhead | paper, measured |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for case in cases():
        for num_stages in STAGES:
            print(f"| {' | '.join(overheads(case, num_stages))} |")


def overheads(case: Parts, num_stages: int) -> list[str]:
    layers_s, halves_s, passed_s = case.layers_s, case.halves_s, case.passed_s
    uniform = [shifted(stage, len(layers_s)) for stage in even_stages(len(layers_s) - 2, num_stages)]
    by_layer = cut_parts(layers_s, num_stages, transfer_s=passed_s)
    by_half = cut_stages(halves_s, num_stages, transfer_s=[passed_s] * len(halves_s))
    found_s = [
        overhead_s(layers_s, uniform, passed_s),
        overhead_s(layers_s, by_layer, passed_s),
        overhead_s(halves_s, by_half, passed_s),
    ]
    less = 1 - found_s[2] / found_s[0]
    shown = [f"{one * 1e3:.1f}" for one in found_s]
    return [case.name, str(num_stages), *shown, f"{less + 1e-9:.1%}", case.paper if num_stages == 8 else ""]


def half_layers(setting: Setting) -> list[float]:
    """Seconds of the embedding, each layer's attention and feed-forward, and the head."""
    ends_s = part_costs(setting, 1)
    started_s = LAYER_OPERATORS / 2 * setting.device.operator_s
    halves_s = [
        half_s + started_s
        for layer in range(setting.shape.num_layers)
        for half_s in (attention_s(setting, 1), feed_forward_s(setting, 1, layer))
    ]
    return [ends_s[0].seconds, *halves_s, ends_s[-1].seconds]


def shifted(layers: range, num_parts: int) -> range:
    """Layers as parts: the first stage has the embedding too, the last the head."""
    start = 0 if layers.start == 0 else layers.start + 1
    stop = num_parts if layers.stop == num_parts - 2 else layers.stop + 1
    return range(start, stop)


def overhead_s(part_s: Sequence[float], stages: Sequence[range], passed_s: float) -> float:
    slowest_s = slowest_stage_s(part_s, stages, transfer_s=[passed_s] * len(part_s))
    return len(stages) * slowest_s - sum(part_s)


def measured() -> None:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
    # One thread a device, else a slow stage borrows the cores of the others.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    import jax

    from vocabulary.deployment import ModelSpec
    from vocabulary.parallel import ParallelConfig
    from workers.profiler import Effort, profile_model

    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        spec = ModelSpec("uneven", source=folder, batch_sizes=(1,), sequence_lengths=(128,))
        profile = profile_model(
            spec, device_type="cpu", configs=[ParallelConfig(1, 1), ParallelConfig(1, 2)],
            source_folder=Path(), effort=Effort(3, 25), progress=lambda words: print(words, file=sys.stderr),
        )  # fmt: skip
        part_s = profile.entries[ParallelConfig(1, 2)].part_s
        shown = ", ".join(f"{one * 1e3:.2f}" for one in part_s)
        print(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; parts (ms): {shown}\n")
        print("| stages | cut | layers of each stage | slowest stage, processor ms | uniform / min-max "
              "| all stages at once, ms a request | uniform / min-max |")  # fmt: skip
        print("|---|---|---|---|---|---|---|")
        for num_stages in (2, 4):
            compare(folder, num_stages, part_s, jax.devices())


def compare(folder: str, num_stages: int, part_s: Sequence[float], devices) -> None:
    """Rounds in which both cuts run one after the other; ratios are medians of the rounds' ratios."""
    from vocabulary.parallel import ParallelConfig

    cuts = {
        "uniform": even_stages(len(part_s) - 2, num_stages),
        "min-max": layers_of(cut_parts(part_s, num_stages)),
    }
    config = ParallelConfig(1, num_stages)
    models = {name: load(folder, config, devices, cut) for name, cut in cuts.items()}
    request = {"input_ids": np.arange(128)[None] % 90}
    slowest_s: dict[str, list[float]] = {name: [] for name in cuts}
    request_s: dict[str, list[float]] = {name: [] for name in cuts}
    for number in range(NUM_ROUNDS):
        for name in sorted(cuts, reverse=bool(number % 2)):
            runs = [alone_s(models[name], request) for _ in range(NUM_ALONE)]
            slowest_s[name].append(max(map(statistics.median, zip(*runs, strict=True))))
            request_s[name].append(pipelined_s(models[name], request))
    for name, cut in cuts.items():
        cells = [str(num_stages), name, ", ".join(str(len(stage)) for stage in cut)]
        for times_s in (slowest_s, request_s):
            ratios = [one / other for one, other in zip(times_s["uniform"], times_s[name], strict=True)]
            cells += [f"{statistics.median(times_s[name]) * 1e3:.1f}", f"{statistics.median(ratios):.2f}"]
        print(f"| {' | '.join(cells)} |")


def write_model(folder: Path) -> None:
    """A checkpoint of CONFIG with random weights."""
    from safetensors.numpy import save_file

    from vocabulary.formats.hub_config import HubConfig
    from workers.families import FAMILIES

    family = FAMILIES["gpt2"]
    parameters = family.parameters(family.parse(HubConfig(CONFIG, "CONFIG")))
    draw = np.random.default_rng(0)
    shapes = {name: one.tensor_shape for one in parameters for name in one.tensors}
    tensors = {name: 0.1 * draw.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def load(folder: str, config, devices, cut: tuple[range, ...]):
    from workers.model import load_model

    model = load_model(
        folder, config=config, devices=devices[: config.num_devices], batch_buckets=(1,),
        sequence_buckets=(128,), base_dir=Path(), cut=cut,
    )  # fmt: skip
    model.compile()
    return model


def alone_s(model, request) -> list[float]:
    """Processor seconds of each stage, one after the other: with one thread a device, what it takes alone."""
    import jax

    marks_s = [time.process_time()]
    batch = model.pad([request])
    for stage in range(model.num_stages):
        batch = jax.block_until_ready(model.run_stage(stage, batch))
        marks_s.append(time.process_time())
    return [stop - start for start, stop in pairwise(marks_s)]


def pipelined_s(model, request) -> float:
    """Seconds a request when NUM_BATCHES follow each other, a thread a stage, as the engine runs them."""
    import jax

    queues: list[Queue] = [Queue() for _ in range(model.num_stages + 1)]

    def work(stage: int) -> None:
        for _ in range(NUM_BATCHES):
            batch = queues[stage].get()
            queues[stage + 1].put(jax.block_until_ready(model.run_stage(stage, batch)))

    threads = [Thread(target=work, args=(stage,)) for stage in range(model.num_stages)]
    for thread in threads:
        thread.start()
    start_s = time.perf_counter()
    for _ in range(NUM_BATCHES):
        queues[0].put(model.pad([request]))
    for _ in range(NUM_BATCHES):
        model.unpad(queues[-1].get())
    seconds = time.perf_counter() - start_s
    for thread in threads:
        thread.join()
    return seconds / NUM_BATCHES


if __name__ == "__main__":
    raise SystemExit(main())
