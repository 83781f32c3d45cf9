"""The command line in this process: what tests use whose claim is not about processes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

from statmux.main import run


def statmux(*words: str, folder: Path, **environment: str) -> CompletedProcess[str]:
    """`statmux WORDS` as typed in `folder`; tests/statmux/test_main.py does the same with processes."""
    out, err = io.StringIO(), io.StringIO()
    standing = _standing(folder, {"COLUMNS": "100"} | environment)
    with standing, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    return CompletedProcess(["statmux", *words], code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _standing(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """In the folder, with the variables; both, and the handler of SIGTERM, as before afterwards."""
    before = {name: os.environ.get(name) for name in environment}
    terminate = signal.getsignal(signal.SIGTERM)
    os.environ.update(environment)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
