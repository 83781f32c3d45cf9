"""What a wrong deployment file is told: small wrong files, and the words of the reader itself."""

from __future__ import annotations

from pathlib import Path

from docs.generators.markdown import code, table
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import deployment_of

PROSE = """
## Errors

All are found before anything starts, each with file and line, a remedy, and the [exit code](exit-codes.md)
2; the first in the order of the file is told, with the number of others. Among them:

"""
MODEL = "models:\n- {name: chat, source: 'random://gpt2-tiny'%s}\n"
# What is wrong, and a file with it.
WRONG = {
    "no models": "metadata: {name: fleet}\n",
    "not YAML": "models: [\n",
    "a key that is not here": MODEL % ", slo: {latency: 200}",
    "a number that is no number": MODEL % ", slo: {latency_ms: fast}",
    "a number out of bounds": MODEL % ", slo: {latency_ms: 200, attainment: 99}",
    "an unknown choice": MODEL % "" + "serving: {policy: {queue: lifo}}\n",
    "a size without a known unit": MODEL % "" + "cluster: {nodes: [{name: n, devices: {memory: 16GiBs}}]}\n",
    "an empty list": "models: []\n",
    "two models of one name": "models:\n- {name: a, source: 'random://gpt2-tiny'}\n- {name: a, source: 'random://bert-tiny'}\n",
    "a name that is a path": "models:\n- {name: ../chat, source: 'random://gpt2-tiny'}\n",
    "no source and no profile": "models:\n- {name: chat}\n",
    "a source of an unknown kind": "models:\n- {name: chat, source: 'ftp://host/model'}\n",
    "code that was not allowed": "models:\n- {name: mine, source: 'python://module:build'}\n",
    "a variable that is not set": "models:\n- {name: chat, source: '${STATMUX_NOT_SET}'}\n",
    "another kind of file": "kind: PlacementPlan\n" + MODEL % "",
}


def errors() -> str:
    """The section, with a row for each of WRONG."""
    return PROSE + table(
        ("what is wrong", "error", "hint"), ([words, *told(text)] for words, text in WRONG.items())
    )


def told(text: str) -> tuple[str, str]:
    """Error and hint for a deployment file of this text."""
    try:
        deployment_of(text, name="deployment.yaml", folder=Path(), environment={}, needs_profiles=False)
    except InvalidInput as error:
        return code(str(error).replace("`", "'")), error.hint or ""
    raise AssertionError(f"nothing is wrong with {text!r}")
