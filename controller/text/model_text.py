"""What a model's checkpoint says about text: its tokenizer, its special tokens, its chat template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.text.chat_template import ChatTemplate
from controller.text.codec import TextCodec, open_codec
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.versions import spec_name
from workers.sources import directory_of, in_its_folder, read_json

_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_DEFAULT_TEMPLATE = "default"


@dataclass(frozen=True, slots=True)
class ModelText:
    """codec: None without a tokenizer.json; template: None without a chat template."""

    codec: TextCodec | None = None
    template: ChatTemplate | None = None


NO_TEXT = ModelText()


def open_texts(deployment: Deployment) -> Mapping[str, ModelText]:
    """Of every model, by its canonical name. Raises InvalidInput for a file that is not what it should be.

    Versions that share calls take the same tokens: each call is tokenised before its version is chosen.
    """
    folder = Path(deployment.folder)
    for split in deployment.splits:
        asked = [spec_name(split.model, version) for version, weight in split.shares if weight > 0.0]
        _check_same(split.model, {name: deployment.model(name) for name in asked}, folder)
    return {model.name: open_text(model, folder=folder) for model in deployment.models}


def _check_same(model: str, versions: Mapping[str, ModelSpec], folder: Path) -> None:
    found = {name: _tokenizer_bytes(spec, folder) for name, spec in versions.items()}
    if len(set(found.values())) > 1:
        raise InvalidInput(
            f"{', '.join(found)} share the calls for {model} and have different tokenizers",
            where=f"models.{model}.split",
            hint="give one of them all the weight; others are asked for by name, as model@version",
        )


def _tokenizer_bytes(model: ModelSpec, folder: Path) -> bytes:
    is_folder = model.source is not None and not model.is_function
    directory = directory_of(model.source, base_dir=folder) if is_folder else None
    path = None if directory is None else directory / "tokenizer.json"
    return path.read_bytes() if path is not None and path.is_file() else b""


def open_text(model: ModelSpec, *, folder: Path) -> ModelText:
    """Of one model; relative sources start at `folder`. Files that are missing are no error here."""
    is_folder = model.source is not None and not model.is_function
    directory = directory_of(model.source, base_dir=folder) if is_folder else None
    if directory is None or not directory.is_dir():
        return NO_TEXT
    return ModelText(open_codec(directory), _open_template(directory))


def _open_template(directory: Path) -> ChatTemplate | None:
    config_path = directory / "tokenizer_config.json"
    config = read_json(config_path) if config_path.is_file() else {}
    source, path = _template_source(directory, config)
    if source is None:
        return None
    return ChatTemplate(source, tokens=_special_tokens(directory, config), where=str(path))


def _template_source(directory: Path, config: Mapping[str, object]) -> tuple[str | None, Path]:
    """A file of its own counts before the tokenizer's configuration, as in transformers."""
    jinja, in_json = directory / "chat_template.jinja", directory / "chat_template.json"
    if jinja.is_file():
        return in_its_folder(jinja).read_text(encoding="utf-8"), jinja
    if in_json.is_file():
        return _default_of(read_json(in_json).get("chat_template"), in_json), in_json
    path = directory / "tokenizer_config.json"
    return _default_of(config.get("chat_template"), path), path


def _default_of(value: object, path: Path) -> str | None:
    """Some checkpoints have several templates, as [{"name", "template"}]."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        by_name = {entry.get("name"): entry.get("template") for entry in value}
        source = by_name.get(_DEFAULT_TEMPLATE)
        if source is None or isinstance(source, str):
            return source
    raise InvalidInput("chat_template is neither a template nor a list of named ones", where=str(path))


def _special_tokens(directory: Path, config: Mapping[str, object]) -> dict[str, str]:
    path = directory / "special_tokens_map.json"
    named = (read_json(path) if path.is_file() else {}) | config
    tokens = {name: _content(named.get(name)) for name in _TOKEN_NAMES}
    return {name: token for name, token in tokens.items() if token is not None}


def _content(entry: object) -> str | None:
    """A token, or an object that describes one."""
    content = entry.get("content") if isinstance(entry, dict) else entry
    return content if isinstance(content, str) else None
