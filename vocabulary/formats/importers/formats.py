"""The published formats by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers import (
    alpaserve,
    azure_functions,
    azure_llm,
    burstgpt,
    lmsys_chat,
    mooncake,
    servegen,
)
from vocabulary.formats.importers.imported import Imported, TraceFile


class Read(Protocol):
    def __call__(self, files: Sequence[TraceFile], *, skips_bad: bool = False) -> Imported: ...


@dataclass(frozen=True, slots=True)
class Format:
    """takes_several: days or clients come in files of their own."""

    read: Read
    takes_several: bool = False


FORMATS: Mapping[str, Format] = {
    "azure-llm-2023": Format(azure_llm.read_2023),
    "azure-llm-2024": Format(azure_llm.read_2024),
    "azure-functions-2019": Format(azure_functions.read_2019, takes_several=True),
    "azure-functions-2021": Format(azure_functions.read_2021),
    "mooncake": Format(mooncake.read),
    "burstgpt": Format(burstgpt.read),
    "servegen": Format(servegen.read, takes_several=True),
    "lmsys-chat-1m": Format(lmsys_chat.read),
    "alpaserve": Format(alpaserve.read),
}


def import_files(name: str, files: Sequence[TraceFile], *, skips_bad: bool = False) -> Imported:
    """What the files of a format hold. skips_bad: leave out and count rows that would be refused.

    Raises InvalidInput with file, line, cause and hint.
    """
    format_ = FORMATS[name]
    if len(files) > 1 and not format_.takes_several:
        hint = "import each by itself"
        raise InvalidInput(f"{name} is one file, not {len(files)}", where=files[1].name, hint=hint)
    return format_.read(files, skips_bad=skips_bad)
