"""The edge where files are read and written: the one exception to "vocabulary does no I/O".

Every room from the simulator up loads its nouns through here; the parsers stay pure. Each function raises
InvalidInput with the file as the user wrote it, and what to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from vocabulary.errors import InvalidInput, RuntimeFailure

if TYPE_CHECKING:  # parsers load pydantic, YAML and pyarrow; each is imported when its file is read
    from vocabulary.deployment import Deployment
    from vocabulary.outcomes import Outcomes
    from vocabulary.placement import Placement
    from vocabulary.plan import Plan
    from vocabulary.profile import Profile
    from vocabulary.trace import Trace

PathLike = str | os.PathLike[str]


def load_deployment(
    path: PathLike,
    *,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    needs_profiles: bool = True,
) -> Deployment:
    """A deployment with its profiles. `overrides` are `PATH=VALUE`; variables come from os.environ.

    Without `needs_profiles`, profiles that are still to be measured may be missing.
    """
    return deployment_of(
        read_text(path),
        name=str(path),
        folder=Path(path).parent,
        overrides=overrides,
        environment=environment,
        needs_profiles=needs_profiles,
    )


def deployment_of(
    text: str,
    *,
    name: str,
    folder: Path,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    needs_profiles: bool = True,
) -> Deployment:
    """`load_deployment` of a text, with its profiles read from where it would lie."""
    from vocabulary.formats.deployment import parse_deployment
    from vocabulary.formats.profile import parse_profile

    def read_profile(profile_path: str) -> Profile:
        full = folder / profile_path
        if not _is_there(full):
            raise FileNotFoundError(0, _nearest(full) or None, str(full))
        return parse_profile(read_text(full), name=str(full))

    return parse_deployment(
        text,
        name=name,
        read_profile=read_profile,
        folder=str(folder),
        overrides=overrides,
        environment=os.environ if environment is None else environment,
        needs_profiles=needs_profiles,
    )


def load_profile(path: PathLike) -> Profile:
    """A ModelProfile, JSON or YAML."""
    from vocabulary.formats.profile import parse_profile

    return parse_profile(read_text(path), name=str(path))


def load_plan(path: PathLike, *, deployment: Deployment | None = None) -> Plan:
    """A PlacementPlan; with a deployment, checked against its models, devices and profiles."""
    from vocabulary.formats.plan import parse_plan

    return parse_plan(read_text(path), name=str(path), deployment=deployment)


def load_trace(
    path: PathLike,
    *,
    columns: Mapping[str, str] | None = None,
    models: Sequence[str] | None = None,
    only_model: str | None = None,
    in_order: bool = True,
) -> Trace:
    """A trace of any kind; the arguments are those of `formats.trace.parse_trace`."""
    from vocabulary.formats.trace import parse_trace

    return parse_trace(
        read_bytes(path),
        name=str(path),
        columns=columns,
        models=models,
        only_model=only_model,
        in_order=in_order,
    )


def load_traffic(path: PathLike, deployment: Deployment) -> Trace:
    """A trace of the deployment's models, aligned to it. Requests for a model with versions are split."""
    from vocabulary.versions import split_trace

    wholes = [name for split in deployment.splits for name in (split.model, *split.aliases)]
    trace = load_trace(path, models=(*deployment.model_names, *wholes))
    return split_trace(trace, deployment.splits).aligned_to(deployment.model_names)


def load_outcomes(path: PathLike, *, placement: Placement) -> Outcomes:
    """An outcome file that `write_outcomes` wrote."""
    from vocabulary.formats.outcomes import parse_outcomes

    return parse_outcomes(read_text(path), name=str(path), placement=placement)


def write_plan(path: PathLike, plan: Plan) -> None:
    from vocabulary.formats.plan import format_plan

    write_bytes(path, format_plan(plan).encode())


def write_profile(path: PathLike, profile: Profile) -> None:
    from vocabulary.formats.profile import format_profile

    write_bytes(path, format_profile(profile).encode())


def write_trace(path: PathLike, trace: Trace) -> None:
    """The kind of file comes from the end of the path."""
    from vocabulary.formats.trace import format_trace

    write_bytes(path, format_trace(trace, name=str(path)))


def write_outcomes(path: PathLike, outcomes: Outcomes, *, placement: Placement) -> None:
    from vocabulary.formats.outcomes import format_outcomes

    write_bytes(path, format_outcomes(outcomes, placement=placement).encode())


def read_text(path: PathLike) -> str:
    """The file as UTF-8 text."""
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text (byte {error.start})"
        raise InvalidInput(message, where=str(path), hint="is this the right file?") from None


def read_bytes(path: PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        hint = _nearest(Path(path)) or "check the path"
        raise InvalidInput("there is no such file", where=str(path), hint=hint) from None
    except IsADirectoryError:
        raise InvalidInput("this is a folder", where=str(path), hint="name a file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        cause = (getattr(error, "strerror", None) or str(error)).lower()
        raise InvalidInput(f"cannot be read: {cause}", where=str(path), hint="check the path") from None


def write_bytes(path: PathLike, content: bytes) -> None:
    """Replaces the file at once, so that nobody reads half of it. The folder is made when it is missing."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise RuntimeFailure(
            f"cannot be written: {cause}", where=str(path), hint="choose another path"
        ) from None


def _is_there(path: Path) -> bool:
    """Also where that cannot be said: reading it says why."""
    try:
        return path.exists()
    except OSError:
        return True


def _nearest(path: Path) -> str:
    """A hint when a file with nearly that name is beside it."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"there is no folder {path.parent}"
    near = get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"did you mean {path.with_name(near[0])}?" if near else ""
