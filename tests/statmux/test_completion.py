"""`statmux completion`: what a shell offers after TAB, asked of a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.statmux.in_process import statmux

ROOT = Path(__file__).parents[2]
ASK = """
eval "$(statmux completion bash)"
COMP_WORDS=({words}); COMP_CWORD={last}
_statmux_completion statmux
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One where `statmux` is the tree that is tested."""
    command = tmp_path / "statmux"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m statmux.main "$@"\n')
    command.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("statmux pl", {"plan"}),
        ("statmux plan --objective w", {"weighted_slo_attainment"}),
        ("statmux -o js", {"json"}),
    ],
)
def test_bash_completes_verbs_options_and_choices(words, offered, environment):
    asked = ASK.format(words=words, last=len(words.split()) - 1)
    done = subprocess.run(["bash", "-c", asked], env=environment, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == offered, done.stderr


def test_each_shell_has_a_script_and_a_hint(tmp_path):
    for shell, mark in (("bash", "complete "), ("zsh", "#compdef statmux"), ("fish", "complete --command")):
        done = statmux("completion", shell, folder=tmp_path)
        assert done.returncode == 0
        assert mark in done.stdout
        assert done.stderr.startswith("hint: ")
    assert statmux("completion", "tcsh", folder=tmp_path).returncode == 2
