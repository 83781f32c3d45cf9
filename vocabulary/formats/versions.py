"""`models[].versions` and `split`: one model of the file becomes a model of the fleet for each version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vocabulary.formats.deployment_shape import DeploymentShape
from vocabulary.formats.document import Document, KeyPath, did_you_mean
from vocabulary.formats.model_shape import ModelShape, ReplicasShape, VersionShape, WorkloadShape
from vocabulary.versions import MARK, Split, spec_name


@dataclass(frozen=True, slots=True)
class Expanded:
    """shape: with a model for each version; document: with key paths as they stand in the file."""

    shape: DeploymentShape
    document: Document
    splits: tuple[Split, ...]


def expanded(shape: DeploymentShape, document: Document) -> Expanded:
    """Raises InvalidInput for a split of versions that there are not, and for names with an "@"."""
    models: list[ModelShape] = []
    written: list[tuple[int, str, VersionShape | None]] = []
    splits: list[Split] = []
    for index, model in enumerate(shape.models):
        _check_names(model, document, index)
        if not model.versions:
            _check_no_split(model, document, index)
            models.append(model)
            written.append((index, "", None))
            continue
        split = _split(model, document, index)
        splits.append(split)
        for version, changes in model.versions.items():
            models.append(_version(model, version, changes, split))
            written.append((index, version, changes))
    if not splits:
        return Expanded(shape, document, ())
    whole = shape.model_copy(update={"models": tuple(models)})
    return Expanded(whole, replace(document, written=_Written(tuple(written))), tuple(splits))


@dataclass(frozen=True, slots=True)
class _Written:
    """Where a key of the expanded models stands in the file. models: position, version and its shape."""

    models: tuple[tuple[int, str, VersionShape | None], ...]

    def __call__(self, path: KeyPath) -> KeyPath:
        if len(path) < 2 or path[0] != "models" or not isinstance(path[1], int):
            return path
        index, version, changes = self.models[path[1]]
        if changes is None:
            return ("models", index, *path[2:])
        is_own = len(path) > 2 and path[2] in changes.model_fields_set
        return ("models", index, *(("versions", version) if is_own else ()), *path[2:])


def _version(model: ModelShape, version: str, changes: VersionShape, split: Split) -> ModelShape:
    """The model with what the version says otherwise. It is there also where no call goes by itself."""
    own = {key: getattr(changes, key) for key in changes.model_fields_set}
    merged = model.model_copy(update={**own, "name": spec_name(model.name, version)})
    parts: dict[str, object] = {"aliases": (), "versions": None, "split": None}
    if "min" not in merged.replicas.model_fields_set and not (merged.on_demand and merged.on_demand.enabled):
        parts["replicas"] = ReplicasShape(min=1, max=merged.replicas.max)
    if merged.workload is not None:
        parts["workload"] = _part(merged.workload, split.share(version))
    return merged.model_copy(update=parts)


def _part(workload: WorkloadShape, share: float) -> WorkloadShape:
    return workload.model_copy(update={"rate_rps": workload.rate_rps * share})


def _split(model: ModelShape, document: Document, index: int) -> Split:
    known = tuple(model.versions or ())
    weights = {known[0]: 1.0} if model.split is None else dict(model.split)
    for version in weights:
        if version not in known:
            message = f"{model.name} has no version {version}"
            path = ("models", index, "split", version)
            raise document.error(path, message, hint=did_you_mean(version, known))
    if not sum(weights.values()):
        hint = "give one version a weight; a model that nobody is to call is left out of the file"
        raise document.error(("models", index, "split"), "no version has a weight above 0", hint=hint)
    shares = tuple((version, float(weights.get(version, 0.0))) for version in known)
    return Split(model.name, shares, tuple(model.aliases), model.split_by)


def _check_no_split(model: ModelShape, document: Document, index: int) -> None:
    if model.split is not None:
        hint = "name them: versions: {v1: {source: ...}, v2: {source: ...}}"
        raise document.error(("models", index, "split"), f"{model.name} has no versions to split", hint=hint)


def _check_names(model: ModelShape, document: Document, index: int) -> None:
    for path, name in _names(model, index):
        if MARK in name:
            message = f"name {name!r} has an {MARK}, which stands between a model and its version"
            raise document.error(path, message, hint="use letters, digits, dots and dashes")


def _names(model: ModelShape, index: int) -> Iterator[tuple[KeyPath, str]]:
    yield ("models", index, "name"), model.name
    for number, alias in enumerate(model.aliases):
        yield ("models", index, "aliases", number), alias
    for version in model.versions or ():
        yield ("models", index, "versions", version), version
