"""The ways to a profile, and which words of the command line each of them heeds."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from vocabulary.errors import InvalidInput


class Way(StrEnum):
    MEASURE = "measuring"
    CORRECT = "--correct-from"
    ESTIMATE_MODEL = "--estimate --model"
    ESTIMATE_ALL = "--estimate of a deployment"
    COMPLETE = "--complete"
    IMPORT = "--import-alpa"


_DEVICE = frozenset({"device_type", "dtype", "generate"})
_SPLITS = frozenset({"tensor", "pipeline", "sequence_length"})
HEEDED = {
    Way.MEASURE: frozenset({"deployment", "models", "rounds"}),
    Way.CORRECT: frozenset({"deployment", "models"}),
    Way.ESTIMATE_MODEL: _DEVICE | _SPLITS | {"model", "name", "batch_sizes"},
    Way.ESTIMATE_ALL: _DEVICE | {"deployment", "models"},
    Way.COMPLETE: _DEVICE | _SPLITS | {"model"},
    Way.IMPORT: frozenset({"device_type", "sequence_length"}),
}
_HINTS = {
    Way.MEASURE: "it describes an estimate: add --estimate, or --complete PROFILE",
    Way.ESTIMATE_ALL: "the deployment says so; for one model: --estimate --model MODEL",
}
# Words that choose a way, or that every way heeds, are no key here.
OPTIONS = {
    "deployment": "DEPLOYMENT",
    "models": "MODELS",
    "rounds": "--rounds",
    "device_type": "--device-type",
    "dtype": "--dtype",
    "generate": "--generate",
    "tensor": "--tensor",
    "pipeline": "--pipeline",
    "sequence_length": "--sequence-length",
    "batch_sizes": "--batch-sizes",
    "model": "--model",
    "name": "--name",
}


def chosen_way(*, correct: bool, estimate: bool, complete: bool, import_alpa: bool, model: bool) -> Way:
    """What is asked for, by which words there are. Raises InvalidInput for more than one way."""
    if correct + estimate + complete + import_alpa > 1:
        hint = "leave out all but one"
        raise InvalidInput("give one of --correct-from, --estimate, --complete and --import-alpa", hint=hint)
    if estimate:
        return Way.ESTIMATE_MODEL if model else Way.ESTIMATE_ALL
    if complete:
        return Way.COMPLETE
    if import_alpa:
        return Way.IMPORT
    return Way.CORRECT if correct else Way.MEASURE


def refuse_unheeded(way: Way, context: Any) -> None:
    """Raises InvalidInput for a word that the user gave and that would change nothing.

    context: of the command-line parser, which knows the words that were given.
    """
    given = [name for name in OPTIONS if _is_given(context, name)]
    for name in given:
        if name not in HEEDED[way]:
            hint = _HINTS.get(way, "leave it out") if name in HEEDED[Way.ESTIMATE_MODEL] else "leave it out"
            raise InvalidInput(f"{way} does not heed it", where=OPTIONS[name], hint=hint)


def _is_given(context: Any, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
