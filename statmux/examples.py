"""The example deployments that come with statmux."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from vocabulary.errors import RuntimeFailure

# statmux is installed as an application, from its checkout: the examples lie beside the code.
EXAMPLES = Path(__file__).resolve().parents[1] / "deploy" / "examples"
DEPLOYMENT = "deployment.yaml"
# Lines that ask the models of an example that can be served, one for each protocol.
CALLS = "calls.sh"
# The addresses that those lines have in the source tree.
_HTTP, _GRPC = "127.0.0.1:8000", "127.0.0.1:8001"


class Example(StrEnum):
    TINY = "tiny"
    TWO_MODELS = "two-models"
    AZURE_TWO_MODELS = "azure-two-models"
    A100X16 = "a100x16"
    LLM_AND_ENCODERS = "llm-and-encoders"


def example_files(example: Example, path: Path) -> dict[Path, bytes]:
    """What to write where: the deployment at `path`, the rest beside it."""
    folder = EXAMPLES / example
    files = {}
    for source in sorted(folder.rglob("*")):
        if source.is_file():
            inside = source.relative_to(folder)
            target = path if inside == Path(DEPLOYMENT) else path.parent / inside
            files[target] = read_example(source)
    if not files:
        raise _no_examples(folder)
    return files


def read_example(file: Path) -> bytes:
    """Raises RuntimeFailure where statmux was installed without its examples."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise _no_examples(file) from None


def can_be_served(example: Example) -> bool:
    """Whether it has models to load, not only their profiles."""
    return (EXAMPLES / example / CALLS).exists()


def calls_of(example: Example, *, http: str, grpc: str) -> str:
    """The lines to try the example with, at these addresses (host:port)."""
    text = read_example(EXAMPLES / example / CALLS).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#!")]
    return "\n".join(lines).replace(_HTTP, http).replace(_GRPC, grpc).strip()


def write_calls(example: Example, *, http: str, grpc: str) -> None:
    """Gives the calls.sh of the example's folder these addresses, unless somebody has written it anew."""
    from vocabulary.formats.disk import write_bytes

    path = Path(example) / CALLS
    ours = read_example(EXAMPLES / example / CALLS).decode()
    if path.exists() and _without_ports(path.read_text()) == _without_ports(ours):
        addressed = ours.replace(_HTTP, http).replace(_GRPC, grpc)
        write_bytes(path, addressed.encode())


def _without_ports(text: str) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", "", text)


def _no_examples(file: Path) -> RuntimeFailure:
    hint = "install statmux from its checkout (`make setup`), which has deploy/examples"
    return RuntimeFailure("the examples are not installed", where=str(file), hint=hint)
