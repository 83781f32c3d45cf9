"""A user's function behind the same face as a model: padded, shared by devices, equal to the function."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.errors import InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from workers.graphs.serving import type_of_kind
from workers.loading import load_models
from workers.profiler import Effort, profile_model
from workers.python_model import PythonModel, load_python_model
from workers.spec import WorkerSpec

MODULE = """\
import jax
import numpy as np

def build():
    draw = np.random.default_rng(0)
    parameters = [draw.standard_normal(shape).astype("float32") for shape in ((16, 64), (64, 8))]

    def apply(parameters, inputs):
        up, down = parameters
        inner = jax.nn.relu((inputs["x"] * inputs["scale"][:, None]) @ up)
        return {"y": inner @ down, "best": (inner @ down).argmax(-1)}

    return apply, parameters, {"x": ("float32", (-1, 16)), "scale": ("float32", (-1,))}
"""
DRAW = np.random.default_rng(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(MODULE)
    return tmp_path


def loaded(
    folder: Path, *, tensor: int = 1, pipeline: int = 1, sizes: tuple[int, ...] = (1, 4)
) -> PythonModel:
    config = ParallelConfig(tensor, pipeline)
    return load_python_model(
        "python://own:build",
        is_allowed=True,
        config=config,
        devices=jax.devices()[: config.num_devices],
        batch_buckets=sizes,
        base_dir=folder,
    )


def request(num_rows: int) -> dict[str, np.ndarray]:
    return {
        "x": DRAW.standard_normal((num_rows, 16)).astype(np.float32),
        "scale": DRAW.standard_normal(num_rows).astype(np.float32),
    }


def expected(inputs: dict[str, np.ndarray]) -> np.ndarray:
    draw = np.random.default_rng(0)
    up, down = (draw.standard_normal(shape).astype("float32") for shape in ((16, 64), (64, 8)))
    return np.maximum((inputs["x"] * inputs["scale"][:, None]) @ up, 0) @ down


@pytest.mark.parametrize("tensor", [1, 2, 8])
def test_requests_are_answered_alike_however_many_devices_share_the_function(folder, tensor):
    model = loaded(folder, tensor=tensor)
    model.compile()
    requests = [request(2), request(1)]
    answers = model.unpad(model.run(model.pad(requests)))
    for one, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer["y"], expected(one), rtol=1e-4, atol=1e-4)
        assert answer["best"].tolist() == expected(one).argmax(-1).tolist()
    assert (model.num_compiles, model.num_recompiles) == (2, 0)


def test_devices_that_share_hold_less_each(folder):
    whole = loaded(folder).weight_bytes_per_stage[0]
    assert whole == 4 * (16 * 64 + 64 * 8)
    shared = loaded(folder, tensor=4)
    leaves = jax.tree.leaves(shared._functions.parameters)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
    assert shared.weight_bytes_per_stage == (held,)


def test_a_request_without_rows_gets_an_answer_without_them(folder):
    model = loaded(folder)
    one = request(1)
    (single,) = model.unpad(model.run(model.pad([{name: array[0] for name, array in one.items()}])))
    assert single["y"].shape == (8,)
    np.testing.assert_allclose(single["y"], expected(one)[0], rtol=1e-4, atol=1e-4)


def test_many_rows_are_parted_into_batches_in_their_order(folder):
    model = loaded(folder)
    requests = [request(3), request(2), request(2)]
    parts = model.parts([model.prepare(one) for one in requests])
    assert [[rows.count for rows in part.rows] for part in parts] == [[3], [2, 2]]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.ones((1, 16), np.float32)}, "scale is missing"),
        ({**request(1), "y": np.ones(1)}, "y is not an input"),
        ({**request(1), "x": np.ones((1, 15), np.float32)}, r"x is float32\[1, 15\], not FP32\[-1, 16\]"),
        ({**request(1), "x": np.ones((1, 16), np.int32)}, r"x is int32\[1, 16\], not FP32"),
        ({**request(2), "scale": np.ones(1, np.float32)}, "equally many rows"),
        (request(5), "5 rows are more than the largest bucket, 4"),
    ],
)
def test_a_bad_request_is_refused_with_the_numbers(folder, inputs, message):
    with pytest.raises(InvalidInput, match=message):
        loaded(folder).prepare(inputs)


def test_outputs_are_known_before_anything_is_computed(folder):
    assert [(spec.name, spec.datatype, spec.shape) for spec in loaded(folder).outputs] == [
        ("best", "INT32", (-1,)),
        ("y", "FP32", (-1, 8)),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('inputs["x"].sum(0)', r"output 'output' has shape \[16\] for 2 rows and \[16\] for 3"),
        ('inputs["x"] @ parameters[1]', "tracing apply raised TypeError"),
        ('[inputs["x"]]', "output 'output' is a list, no array"),
    ],
)
def test_a_function_that_cannot_be_served_is_explained(tmp_path, body, message):
    start = MODULE.index("        up, down")
    stop = MODULE.index("    return apply")
    (tmp_path / "own.py").write_text(f"{MODULE[:start]}        return {body}\n\n{MODULE[stop:]}")
    with pytest.raises(InvalidInput, match=message):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("cpu", "cpu"),
        ("NVIDIA H200", "h200-141g"),
        ("NVIDIA A100-SXM4-80GB", "a100-40g"),
        ("TPU v5 lite", "tpu-v5e"),
        ("an unknown one", "a100-80g"),
    ],
)
def test_a_device_is_planned_for_with_the_speeds_of_its_kind(kind, name):
    assert type_of_kind(kind).name == name


def test_a_function_is_not_cut_into_stages(folder):
    with pytest.raises(InvalidInput, match="cannot be cut into 2 stages"):
        loaded(folder, pipeline=2)


def spec_of(folder: Path, *, allow: bool) -> WorkerSpec:
    model = ModelSpec("m", source="python://own:build", batch_sizes=(2,))
    return WorkerSpec(
        group=Group("g0", ("n-0:0", "n-0:1"), ParallelConfig(2, 1), ("m",)),
        models=(model,),
        catalog=Catalog({}),
        policy=Policy(),
        engine="jax",
        platform="cpu",
        source_folder=str(folder),
        key="",
        socket_path="",
        allow_python_models=allow,
    )


def test_a_worker_loads_it_where_the_fleet_allows_it(folder):
    model = load_models(spec_of(folder, allow=True), place=0)["m"]
    inputs = request(2)
    (answer,) = model.unpad(model.run(model.pad([inputs])))
    np.testing.assert_allclose(answer["y"], expected(inputs), rtol=1e-4, atol=1e-4)


def test_a_worker_refuses_it_where_the_fleet_does_not_say_so(folder):
    assert WorkerSpec.__dataclass_fields__["allow_python_models"].default is False
    with pytest.raises(InvalidInput, match=r"model m, python://own:build: .* does not allow it"):
        load_models(spec_of(folder, allow=False), place=0)


def test_it_is_profiled_for_every_number_of_devices(folder):
    model = dataclasses.replace(spec_of(folder, allow=True).models[0], batch_sizes=(1, 2))
    profile = profile_model(
        model,
        device_type="cpu",
        configs=[ParallelConfig(1, 1), ParallelConfig(2, 1), ParallelConfig(1, 2)],
        source_folder=folder,
        effort=Effort(num_warm=1, num_rounds=1),
        progress=lambda words: None,
        allow_python_models=True,
    )
    assert sorted((config.tensor, config.pipeline) for config in profile.entries) == [(1, 1), (2, 1)]
    entry = profile.entries[ParallelConfig(1, 1)]
    assert entry.output_bytes[2] == (2 * (8 * 4 + 4),)
