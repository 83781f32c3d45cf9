"""The profiles that a deployment file names, and which of them a model has on the cluster that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from vocabulary.formats.deployment_shape import DeploymentShape
from vocabulary.formats.document import Document, KeyPath
from vocabulary.formats.model_shape import ModelShape
from vocabulary.mesh import Cluster
from vocabulary.profile import Profile, profile_on_types

# Reads the profile at a path as the deployment file has it. Raises FileNotFoundError.
ReadProfile = Callable[[str], Profile]


def paths_of(model: ModelShape) -> tuple[tuple[KeyPath, str], ...]:
    """Paths of a model's profiles, each with its key below the model."""
    profile = model.profile
    if profile is None:
        return ()
    if profile.by_device_type is not None:
        return tuple((("profile", device_type), path) for device_type, path in profile.by_device_type.items())
    if profile.paths is not None:
        return tuple((("profile", number), path) for number, path in enumerate(profile.paths))
    return ((("profile",), profile.path),) if profile.path is not None else ()


def read_profiles(
    shape: DeploymentShape, document: Document, read_profile: ReadProfile, needs_profiles: bool
) -> dict[str, Profile]:
    """Profiles by path; a path that several models name is read once. Raises InvalidInput."""
    profiles: dict[str, Profile] = {}
    for index, model in enumerate(shape.models):
        for key, path in paths_of(model):
            if path in profiles:
                continue
            try:
                profiles[path] = read_profile(path)
            except FileNotFoundError as error:
                if model.source is not None and not needs_profiles:
                    continue
                hint = error.strerror or "paths are relative to the deployment file"
                if model.source is not None:
                    hint = f"`statmux profile {document.name}` measures it and writes it"
                message = f"there is no file {error.filename}"
                raise document.error(("models", index, *key), message, hint=hint) from None
    return profiles


def profiles_of_models(
    shape: DeploymentShape, document: Document, profiles: Mapping[str, Profile], cluster: Cluster
) -> tuple[Profile | None, ...]:
    """What each model costs on the cluster, None without a profile. Models share what they name alike.

    In a cluster of several device types, one profile of all types that are known of the model; in a cluster
    of one, the profile for it. Raises InvalidInput if there are several, and none for it.
    """
    shared: dict[tuple[object, ...], Profile | None] = {}
    found: list[Profile | None] = []
    for index, model in enumerate(shape.models):
        key = paths_of(model)
        if key not in shared:
            shared[key] = _on_cluster(model, document, ("models", index), profiles, cluster)
        found.append(shared[key])
    return tuple(found)


def paths_by_type(model: ModelShape, profiles: Mapping[str, Profile]) -> dict[str, str]:
    """Where the profiles of a model with several are, by device type; of a list, those that are there."""
    if model.profile is None or len(paths_of(model)) < 2:
        return {}
    if model.profile.by_device_type is not None:
        return dict(model.profile.by_device_type)
    return {profiles[path].device_type: path for _, path in paths_of(model) if path in profiles}


def mislabelled(shape: DeploymentShape, profiles: Mapping[str, Profile]) -> Iterator[str]:
    """Models with a profile under a device type that is not the profile's own."""
    for model in shape.models:
        for key, path in paths_of(model):
            label = key[-1] if len(key) > 1 else None
            if isinstance(label, str) and path in profiles and profiles[path].device_type != label:
                yield f"{model.name} ({profiles[path].device_type} as {label})"


def _on_cluster(
    model: ModelShape,
    document: Document,
    path: KeyPath,
    profiles: Mapping[str, Profile],
    cluster: Cluster,
) -> Profile | None:
    by_type = _by_type(model, document, path, profiles)
    if not by_type:
        return None
    first, *others = cluster.device_types
    if others:
        return profile_on_types(by_type)
    if first in by_type or len(paths_of(model)) > 1:
        if first not in by_type:
            message = f"profiles for {', '.join(by_type)}; the cluster has {first}"
            hint = f"measure {model.name} on {first} with `statmux profile`, or check the name of the type"
            raise document.error((*path, "profile"), message, hint=hint)
        return by_type[first]
    # One profile of another type is taken as it is, with a warning.
    return next(iter(by_type.values()))


def _by_type(
    model: ModelShape, document: Document, path: KeyPath, profiles: Mapping[str, Profile]
) -> dict[str, Profile]:
    by_type: dict[str, Profile] = {}
    for key, file in paths_of(model):
        if file not in profiles:
            continue
        is_labelled = model.profile is not None and model.profile.by_device_type is not None
        device_type = str(key[-1]) if is_labelled else profiles[file].device_type
        if device_type in by_type:
            message = f"a second profile of {model.name} for {device_type}"
            raise document.error((*path, *key), message, hint="keep one profile a device type")
        by_type[device_type] = profiles[file]
    return by_type
