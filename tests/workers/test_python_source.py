"""What a user's module may be, and what is told when it is something else."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from tests.workers.test_families import config_of
from vocabulary.errors import InvalidInput
from workers.families import FAMILIES
from workers.python_source import open_python_source
from workers.weights import open_source

GOOD = """\
import numpy as np
from beside import WIDTH

def build():
    def apply(parameters, inputs):
        return inputs["x"] @ parameters["w"]
    return apply, {"w": np.ones((WIDTH, 2), np.float32)}, {"x": ("float32", (-1, WIDTH))}
"""


def opened(folder: Path, text: str, *, function: str = "build", is_allowed: bool = True):
    (folder / "beside.py").write_text("WIDTH = 4\n")
    (folder / "own_model.py").write_text(text)
    return open_python_source(f"python://own_model:{function}", base_dir=folder, is_allowed=is_allowed)


def test_a_module_beside_the_deployment_is_built_with_what_it_imports_from_there(tmp_path):
    source = opened(tmp_path, GOOD)
    assert [(spec.name, spec.datatype, spec.shape) for spec in source.inputs] == [("x", "FP32", (-1, 4))]
    assert source.structs(3)["x"].shape == (3, 4)
    np.testing.assert_array_equal(source.apply(source.parameters, {"x": np.ones((1, 4))}), [[4.0, 4.0]])


def test_nothing_is_run_unless_that_is_allowed(tmp_path):
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w')\n{GOOD}"
    with pytest.raises(InvalidInput, match="does not allow it") as caught:
        opened(tmp_path, text, is_allowed=False)
    assert "security: {allow_python_models: true}" in caught.value.hint
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        (GOOD, "bild", "has no function bild"),
        (
            "import missing_thing\n",
            "build",
            "importing own_model raised ModuleNotFoundError: No module named",
        ),
        ("1 / 0\n", "build", "importing own_model raised ZeroDivisionError: division by zero"),
        ("def build(): raise OSError('no disk')\n", "build", r"build\(\) raised OSError: no disk"),
        ("def build(): return 1, 2\n", "build", "it returned 2 values, not three"),
        ("def build(): return None\n", "build", "it returned NoneType, not three"),
        ("def build(): return 1, 2, 3\n", "build", "apply is a int, no function"),
        ("def build(): return print, {}, {}\n", "build", "no dictionary with a name for each"),
        (
            "def build(): return print, {'w': [1.0]}, {'x': ('int32', (-1,))}\n",
            "build",
            "is a float, no array",
        ),
        ("def build(): return print, {}, {'x': 3}\n", "build", "input 'x' is 3"),
        (
            "def build(): return print, {}, {'x': ('float32', (4, 4))}\n",
            "build",
            r"shape \[4, 4\]; the first",
        ),
        ("def build(): return print, {}, {'x': ('complex64', (-1,))}\n", "build", "no datatype of the v2"),
    ],
)
def test_a_wrong_module_is_explained(tmp_path, text, function, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        opened(tmp_path, text, function=function)
    assert caught.value.where == f"python://own_model:{function}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("python://nowhere:build", "there is no module nowhere"),
        ("python://own_model", "not MODULE:FUNCTION"),
        ("python://own_model:", "not MODULE:FUNCTION"),
        ("python://../own_model:build", "not MODULE:FUNCTION"),
    ],
)
def test_a_wrong_source_is_explained(tmp_path, source, message):
    with pytest.raises(InvalidInput, match=message):
        open_python_source(source, base_dir=tmp_path, is_allowed=True)


def test_a_module_beside_the_deployment_hides_nothing_that_is_installed(tmp_path):
    (tmp_path / "safetensors.py").write_text(GOOD)
    opened(tmp_path, GOOD)
    open_python_source("python://safetensors:build", base_dir=tmp_path, is_allowed=True)
    import safetensors

    assert hasattr(safetensors, "safe_open")


def test_shapes_are_enough_for_a_plan_and_too_little_to_serve(tmp_path):
    text = GOOD.replace("np.ones((WIDTH, 2), np.float32)", "jax.ShapeDtypeStruct((WIDTH, 2), 'float32')")
    source = opened(tmp_path, f"import jax\n{text}")
    assert jax.tree.leaves(source.parameters)[0].shape == (4, 2)
    with pytest.raises(InvalidInput, match=r"parameter \['w'\] is a shape without values"):
        source.check_parameters_are_arrays()


def test_a_checkpoint_never_names_code_to_run(tmp_path):
    """Neither by its own source, nor by the key with which Transformers names code of a checkpoint."""
    with pytest.raises(InvalidInput, match="unknown scheme 'python'"):
        open_source("python://own_model:build", base_dir=tmp_path)
    (tmp_path / "modeling.py").write_text("raise SystemExit('it ran')\n")
    config = config_of("gpt2", auto_map={"AutoModel": "modeling.Model"})
    assert FAMILIES["gpt2"].parse(config).num_layers == 4
