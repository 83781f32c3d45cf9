"""`python://module:build`: a model that is a function of the user's own Python code.

    def build():
        return apply, parameters, {"x": ("float32", (-1, 128))}

`apply(parameters, inputs)` is a JAX function of a pytree and of a dictionary of arrays; it returns an array
or a dictionary of arrays. The first dimension of each, -1, is of rows, which do not depend on each other.
Importing a module runs it, so a fleet does so only when its file allows it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.numpy_tensors import NUMPY_TYPES, datatype_of
from vocabulary.tensors import TensorSpec

SCHEME = "python://"
_CONTRACT = 'return apply, parameters, {"x": ("float32", (-1, 128))}'
# Where modules beside a deployment are kept, so that none takes the place of an installed one.
_MODULE_PREFIX = "statmux_python_source"


@dataclass(frozen=True, slots=True)
class PythonSource:
    """What `build` returned. Parameters are arrays, or jax.ShapeDtypeStruct where only a plan is wanted."""

    source: str
    apply: Callable[[Any, Mapping[str, Any]], Any]
    parameters: Any
    inputs: tuple[TensorSpec, ...]

    def structs(self, num_rows: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The inputs' shapes for so many rows, and the types in which JAX computes with them."""
        return {
            spec.name: jax.ShapeDtypeStruct(
                tuple(num_rows if size == -1 else size for size in spec.shape),
                jax.dtypes.canonicalize_dtype(NUMPY_TYPES[spec.datatype]),
            )
            for spec in self.inputs
        }

    def check_parameters_are_arrays(self) -> None:
        """Raises InvalidInput for shapes alone, which are enough for a plan."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.parameters):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                name = jax.tree_util.keystr(path)
                raise InvalidInput(f"parameter {name} is a shape without values", where=self.source)


def traced(source: PythonSource, trace: Callable[[], Any]) -> Any:
    """What `trace` returns; InvalidInput for anything that the user's function raises in it."""
    try:
        return trace()
    except InvalidInput:
        raise
    except Exception as error:  # the user's code may raise anything
        raise InvalidInput(
            f"tracing apply raised {_words(error)}",
            where=source.source,
            hint="apply(parameters, inputs) must be a JAX function of arrays; try jax.make_jaxpr on it",
        ) from error


def is_python_source(source: str | None) -> bool:
    return source is not None and source.startswith(SCHEME)


def open_python_source(source: str, *, base_dir: Path, is_allowed: bool) -> PythonSource:
    """Import the module and call the function. A module beside the deployment goes before an installed one.

    Raises InvalidInput if that is not allowed, if anything of it fails, or if it returns something else.
    """
    if not is_allowed:
        raise InvalidInput(
            "this model is Python code that would be run, and the deployment does not allow it",
            where=source,
            hint="if you trust the code, write security: {allow_python_models: true}",
        )
    module_name, separator, function_name = source.removeprefix(SCHEME).partition(":")
    is_name = all(part.isidentifier() for part in (*module_name.split("."), function_name))
    if not separator or not is_name:
        raise InvalidInput(
            "not MODULE:FUNCTION", where=source, hint="write it like python://models.mlp:build"
        )
    build = _function(_module(module_name, base_dir, where=source), function_name, where=source)
    try:
        built = build()
    except Exception as error:  # the user's code may raise anything
        raise InvalidInput(f"{function_name}() raised {_words(error)}", where=source) from error
    return _checked(source, built)


def _module(name: str, base_dir: Path, *, where: str) -> ModuleType:
    file = base_dir.joinpath(*name.split(".")).with_suffix(".py")
    try:
        if file.is_file():
            return _module_of(file, name)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            hint = f"put {file.name} beside the deployment, or install it"
            raise InvalidInput(f"there is no module {name}", where=where, hint=hint) from error
        raise InvalidInput(f"importing {name} raised {_words(error)}", where=where) from error
    except Exception as error:  # the user's code may raise anything
        raise InvalidInput(f"importing {name} raised {_words(error)}", where=where) from error


def _module_of(file: Path, name: str) -> ModuleType:
    # At the end: what lies beside the module is found by its imports, and hides nothing that is installed.
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = spec_from_file_location(f"{_MODULE_PREFIX}.{name}", file)
    assert spec is not None, file
    assert spec.loader is not None, file
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, name: str, *, where: str) -> Callable[[], Any]:
    found = getattr(module, name, None)
    if callable(found):
        return found
    near = get_close_matches(name, [one for one in dir(module) if callable(getattr(module, one))], n=1)
    hint = f"did you mean {near[0]}?" if near else f"define it: def {name}(): {_CONTRACT}"
    raise InvalidInput(f"{module.__file__} has no function {name}", where=where, hint=hint)


def _checked(source: str, built: Any) -> PythonSource:
    if not isinstance(built, tuple) or len(built) != 3:
        kind = f"{len(built)} values" if isinstance(built, tuple) else type(built).__name__
        raise InvalidInput(f"it returned {kind}, not three values", where=source, hint=_CONTRACT)
    apply, parameters, inputs = built
    if not callable(apply):
        raise InvalidInput(f"apply is a {type(apply).__name__}, no function", where=source, hint=_CONTRACT)
    if not isinstance(inputs, Mapping) or not inputs:
        raise InvalidInput("the inputs are no dictionary with a name for each", where=source, hint=_CONTRACT)
    for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            name = jax.tree_util.keystr(path)
            raise InvalidInput(f"parameter {name} is a {type(leaf).__name__}, no array", where=source)
    return PythonSource(
        source, apply, parameters, tuple(_spec(name, one, source) for name, one in inputs.items())
    )


def _spec(name: Any, given: Any, source: str) -> TensorSpec:
    """From ("float32", (-1, 128)), or from anything with a shape and a dtype."""
    try:
        dtype, shape = (given.dtype, given.shape) if hasattr(given, "dtype") else given
        sizes = tuple(map(int, shape))
        datatype = datatype_of(np.empty(0, dtype))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"input {name!r} is {given!r}: {error}", where=source, hint=_CONTRACT) from error
    if datatype not in NUMPY_TYPES:
        raise InvalidInput(f"input {name!r} has elements of {datatype}", where=source, hint="use numbers")
    if not sizes or sizes[0] != -1 or any(size < 1 for size in sizes[1:]):
        raise InvalidInput(
            f"input {name!r} has shape {list(sizes)}; the first dimension must be -1, rows, and others fixed",
            where=source,
            hint=_CONTRACT,
        )
    return TensorSpec(str(name), datatype, sizes)


def _words(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
