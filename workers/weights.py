"""Where models come from: Hugging Face directories (safetensors), installed packages, or a seed.

A source is a path (relative to the deployment file), `file:///path`, `package://<package>/<folder>` or
`random://<family>-<size>?seed=N`. Nothing of a source is ever executed: JSON and safetensors are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, final

import ml_dtypes  # noqa: F401  (registers bfloat16 with numpy, for safetensors)
import numpy as np
from safetensors import SafetensorError, safe_open

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from workers.families.family import Parameter
from workers.families.synthetic import open_random
from workers.sources import directory_of, in_its_folder, read_json

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")


class Checkpoint(Protocol):
    """A model at rest: its configuration, and its tensors by name. `directory` is None for random weights."""

    source: str
    config: HubConfig
    directory: Path | None
    shapes: Mapping[str, tuple[int, ...]]

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """That part of a tensor in float32; only that part is read from disk."""


def open_source(source: str, *, base_dir: Path) -> Checkpoint:
    """Opens a source; relative paths start at `base_dir`. Reads headers only.

    Raises InvalidInput for a missing directory or file, an unknown scheme, or pickled weights.
    """
    directory = directory_of(source, base_dir=base_dir)
    return open_random(source) if directory is None else open_directory(directory, source=source)


def open_directory(directory: Path, *, source: str) -> DirectoryCheckpoint:
    """A folder with config.json and safetensors: one file, or shards with an index."""
    if not directory.is_dir():
        raise InvalidInput(
            f"there is no directory {directory}",
            where=source,
            hint="relative paths start at the deployment file; other sources are file://, package:// and random://",
        )
    config = HubConfig(read_json(directory / "config.json"), str(directory / "config.json"))
    config.only("quantization_config")
    files = _weight_files(directory)
    return DirectoryCheckpoint(source, config, directory, files, _header_shapes(files))


@final
class DirectoryCheckpoint:
    """Tensors of safetensors files, read when asked for. Files stay open as long as this lives."""

    def __init__(
        self,
        source: str,
        config: HubConfig,
        directory: Path,
        files: Mapping[str, safe_open],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.source = source
        self.config = config
        self.directory = directory
        self.shapes = shapes
        self._files = files

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        part = self._files[name].get_slice(name)
        if part.get_dtype() not in _FLOATS:
            raise InvalidInput(
                f"tensor {name} is {part.get_dtype()}; implemented: {', '.join(_FLOATS)}", where=self.source
            )
        return np.asarray(part[index], np.float32)


def locate(checkpoint: Checkpoint, parameter: Parameter, prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """The checkpoint's names of a parameter's tensors. Raises InvalidInput if one is missing or misshapen."""
    names = tuple(_find(checkpoint, name, prefixes) for name in parameter.tensors)
    for name in names:
        if checkpoint.shapes[name] != parameter.tensor_shape:
            raise InvalidInput(
                f"tensor {name} has shape {list(checkpoint.shapes[name])}, "
                f"config.json asks for {list(parameter.tensor_shape)}",
                where=checkpoint.source,
            )
    return names


def read_parameter(
    checkpoint: Checkpoint, parameter: Parameter, names: tuple[str, ...], index: tuple[slice, ...]
) -> np.ndarray:
    """Part `index` of a parameter (all slices bounded, step 1), in float32. `names` as `locate` gave them."""
    if len(parameter.tensors) > 1:
        return np.stack([checkpoint.read(name, index[1:]) for name in names[index[0]]])
    if parameter.part is not None:
        dim, offset = parameter.part.dim, parameter.part.index * parameter.shape[parameter.part.dim]
        moved = slice(index[dim].start + offset, index[dim].stop + offset)
        index = (*index[:dim], moved, *index[dim + 1 :])
    return checkpoint.read(names[0], index)


def _find(checkpoint: Checkpoint, name: str, prefixes: tuple[str, ...]) -> str:
    # TensorFlow's names of a norm's scale and bias survive in the oldest BERT checkpoints.
    old_name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    for prefix in prefixes:
        for spelling in (prefix + name, prefix + old_name):
            if spelling in checkpoint.shapes:
                return spelling
    raise InvalidInput(
        f"no tensor {' or '.join(prefix + name for prefix in prefixes)} among {len(checkpoint.shapes)}",
        where=checkpoint.source,
        hint="are config.json and the weights of the same model?",
    )


def _weight_files(directory: Path) -> Mapping[str, safe_open]:
    """Tensor name -> the open file that holds it."""
    if (directory / SINGLE_FILE).is_file():
        file = _open(directory / SINGLE_FILE)
        return dict.fromkeys(file.keys(), file)
    if (directory / INDEX_FILE).is_file():
        return _shard_files(directory)
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in directory.glob(pattern))
    if pickles:
        raise InvalidInput(
            f"only pickled weights ({', '.join(pickles)}), which can run code when they are read",
            where=str(directory),
            hint="convert them to safetensors: model.save_pretrained(directory) in transformers",
        )
    raise InvalidInput(f"neither {SINGLE_FILE} nor {INDEX_FILE}", where=str(directory))


def _shard_files(directory: Path) -> Mapping[str, safe_open]:
    where = str(directory / INDEX_FILE)
    names = read_json(directory / INDEX_FILE).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InvalidInput("no weight_map", where=where)
    for name in set(names.values()):
        if not isinstance(name, str) or name != Path(name).name or not (directory / name).is_file():
            raise InvalidInput(f"shard {name!r} is not a file beside the index", where=where)
    files = {name: _open(directory / name) for name in set(names.values())}
    for tensor, name in names.items():
        if tensor not in files[name].keys():  # noqa: SIM118  (not a mapping)
            raise InvalidInput(f"shard {name} does not hold {tensor}", where=where)
    return {tensor: files[name] for tensor, name in names.items()}


def _open(path: Path) -> safe_open:
    try:
        return safe_open(in_its_folder(path), framework="np")
    except SafetensorError as error:
        raise InvalidInput(f"not a safetensors file: {error}", where=str(path)) from error


def _header_shapes(files: Mapping[str, safe_open]) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(file.get_slice(name).get_shape()) for name, file in files.items()}
