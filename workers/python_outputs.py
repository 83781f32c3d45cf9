"""The outputs of a user's function by name: a dictionary of arrays, or one array, which is `output`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from vocabulary.errors import InvalidInput
from vocabulary.numpy_tensors import datatype_of
from vocabulary.tensors import TensorSpec
from workers.python_source import PythonSource, traced

OUTPUT = "output"


def named_outputs(value: Any) -> Mapping[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {OUTPUT: value}


def output_specs(source: PythonSource) -> tuple[TensorSpec, ...]:
    """From the shapes of two numbers of rows. Raises InvalidInput if an output is not made of rows."""
    two, three = (traced(source, lambda rows=rows: _outputs(source, rows)) for rows in (2, 3))
    specs = []
    for name, struct in two.items():
        rows = (struct.shape[:1], three[name].shape[:1])
        if rows != ((2,), (3,)) or struct.shape[1:] != three[name].shape[1:]:
            raise InvalidInput(
                f"output {name!r} has shape {list(struct.shape)} for 2 rows and "
                f"{list(three[name].shape)} for 3",
                where=source.source,
                hint="the first dimension of every output must be the rows of the inputs",
            )
        try:
            datatype = datatype_of(jax.numpy.zeros(0, struct.dtype).__array__())
        except ValueError as error:
            raise InvalidInput(f"output {name!r}: {error}", where=source.source) from error
        specs.append(TensorSpec(str(name), datatype, (-1, *struct.shape[1:])))
    return tuple(specs)


def _outputs(source: PythonSource, num_rows: int) -> Mapping[str, Any]:
    found = jax.eval_shape(source.apply, source.parameters, dict(source.structs(num_rows)))
    named = named_outputs(found)
    for name, one in named.items():
        if not hasattr(one, "shape"):
            raise InvalidInput(
                f"output {name!r} is a {type(one).__name__}, no array",
                where=source.source,
                hint="return an array, or a dictionary of arrays",
            )
    return named
