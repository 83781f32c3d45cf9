"""Headless Chromium, driven over its DevTools pipe: a page, what it says, how it looks."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
MISSING = f"none of {', '.join(NAMES)} is on PATH"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
    "--no-first-run",
)  # fmt: skip
_TIMEOUT_S = 60.0
# Where Chromium reads commands and writes answers with --remote-debugging-pipe.
_ITS_READ, _ITS_WRITE = 3, 4


@contextmanager
def open_tab(*flags: str) -> Iterator[Tab]:
    """One start with one empty page, and a profile that is thrown away. Only this machine is reached."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        arguments = [
            CHROMIUM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", *flags, "about:blank",
        ]  # fmt: skip
        its_read, our_write = os.pipe()
        our_read, its_write = os.pipe()
        # Out of the way of the two numbers that they are to get.
        high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (its_read, its_write)]
        moves = [(os.POSIX_SPAWN_DUP2, high[0], _ITS_READ), (os.POSIX_SPAWN_DUP2, high[1], _ITS_WRITE)]
        quiet = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
        pid = os.posix_spawn(CHROMIUM, arguments, os.environ, file_actions=[*moves, *quiet], setpgroup=0)
        for one in (its_read, its_write, *high):
            os.close(one)
        try:
            tab = Tab(our_read, our_write)
            tab.attach()
            yield tab
        finally:
            os.close(our_write)
            os.close(our_read)
            _end(pid)


@final
class Tab:
    """Calls are answered in turn; errors of scripts and of the console are kept in `errors`."""

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._buffer = b""
        self._num = 0
        self._session = ""
        self.errors: list[str] = []
        self.fetched: list[str] = []

    def attach(self) -> None:
        """To the first page that there is."""
        pages = self._call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in pages if one["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **words: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, to the page."""
        return self._call(method, **words)

    def look(self, *, width: int, height: int = 900, is_dark: bool = False, scale: float = 1.0) -> None:
        """As on a screen of that size, for someone who likes it dark or light. Motion is reduced."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
            mobile=width < 600,
        )  # fmt: skip
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def before_scripts(self, script: str) -> None:
        """Run in every page from now on, before its own."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        """Returns when it is loaded; its scripts may still run."""
        self.value("window.isLeft = true")
        self.call("Page.navigate", url=url)
        self.until("!window.isLeft && document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Of JavaScript, awaited."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Ask until it is true; each look is a round trip to the browser."""
        self.until_is(lambda: self.value(f"Boolean({expression})"), what=expression, timeout_s=timeout_s)

    def until_is(self, claim: Callable[[], bool], *, what: str, timeout_s: float = _TIMEOUT_S) -> None:
        end_s = time.monotonic() + timeout_s
        while not claim():
            assert time.monotonic() < end_s, f"never true: {what}; errors {self.errors}"

    def press(self, key: str, *, code: str = "", number: int = 0, text: str = "") -> None:
        """A key, down and up."""
        told = {"key": key, "code": code or key, "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown", **told, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def write(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, *, is_whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _call(self, method: str, **words: Any) -> dict[str, Any]:
        self._num += 1
        message: dict[str, Any] = {"id": self._num, "method": method, "params": words}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._num:
                assert "error" not in heard, (method, heard["error"])
                return heard["result"]
            self._note(heard)

    def _note(self, heard: dict[str, Any]) -> None:
        told = heard.get("params", {})
        match heard.get("method"):
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.errors.append(str(details.get("exception", {}).get("description", details["text"])))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.errors.append(" ".join(str(one.get("value", "")) for one in told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.fetched.append(told["request"]["url"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _TIMEOUT_S)
            assert ready, "Chromium says nothing"
            heard = os.read(self._read, 2**20)
            assert heard, "Chromium has ended"
            self._buffer += heard
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def _end(pid: int) -> None:
    """It ends when its pipe is closed; what does not is killed, with all that it has started."""
    end_s = time.monotonic() + 10.0
    descriptor = os.pidfd_open(pid)
    select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
    os.close(descriptor)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
