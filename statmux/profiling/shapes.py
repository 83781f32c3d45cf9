"""The shape of a model that a user names: a folder, a config.json, a source, or a few numbers."""

from __future__ import annotations

import json
from pathlib import Path

from vocabulary.errors import InvalidInput
from vocabulary.formats.architecture import shape_of_config, shape_of_numbers
from vocabulary.formats.disk import read_text
from vocabulary.formats.hub_config import HubConfig
from vocabulary.model_shape import ModelShape


def shape_of_model(model: str, *, folder: Path) -> ModelShape:
    """Relative paths start at `folder`. Only config.json is read, no weights. Raises InvalidInput."""
    if "://" in model:
        return shape_of_config(_config_of_source(model, folder))
    path = folder / Path(model).expanduser()
    if path.is_dir():
        path = path / "config.json"
    if not path.exists() and "=" in model:
        return shape_of_numbers(model)
    try:
        values = json.loads(read_text(path))
    except ValueError as error:
        raise InvalidInput(f"not JSON: {error}", where=str(path)) from None
    if not isinstance(values, dict):
        raise InvalidInput("not a JSON object", where=str(path), hint="name a model's config.json")
    return shape_of_config(HubConfig(values, str(path)))


def name_of_model(model: str) -> str:
    """What to call a model that the user did not name."""
    if "://" not in model and "=" in model:
        return "model"
    words = model.partition("://")[2] or model
    path = Path(words.partition("?")[0])
    return (path.parent.name if path.suffix == ".json" else path.name) or "model"


def _config_of_source(source: str, folder: Path) -> HubConfig:
    from workers.families.synthetic import open_random

    if source.startswith("random://"):
        return open_random(source).config
    from workers.weights import open_source

    return open_source(source, base_dir=folder).config
