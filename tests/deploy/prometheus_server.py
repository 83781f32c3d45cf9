"""A real Prometheus on this machine, for a test: it scrapes some ports, and is asked through its API."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from tests.deploy.dashboards import RULES

# A bound for a busy machine; nothing is measured by it.
_TIMEOUT_S = 60.0


def program(name: str) -> str:
    """Its path; where it is missing the test is skipped, and says so."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@final
class PrometheusServer:
    """Scrapes the ports as the job `statmux`, four times a second, with our rules. Ends with `close`."""

    def __init__(self, folder: Path, ports: Sequence[int], **more: Any) -> None:
        """more: of the scrape configuration."""
        self._at = f"127.0.0.1:{free_port()}"
        # All rules as often as the rest is looked at.
        (folder / RULES.name).write_text(re.sub(r"^    interval: \w+\n", "", RULES.read_text(), flags=re.M))
        scrape = {
            "job_name": "statmux",
            "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
            **more,
        }
        configuration = {
            "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
            "rule_files": [RULES.name],
            "scrape_configs": [scrape],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self._at}",
                "--log.level=warn",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def until(self, claim: Callable[[], bool], *, what: str) -> None:
        """Ask again until it holds."""
        end_s = time.monotonic() + _TIMEOUT_S
        while not claim():
            assert time.monotonic() < end_s, f"never came true: {what}\n{self._said()}"

    def until_ready(self) -> None:
        self.until(self._is_ready, what="Prometheus is ready")

    def values(self, expression: str) -> list[float]:
        """Of all series that the expression gives now, without those that are no number."""
        found = self.asked("query", query=expression)["result"]
        values = [float(one["value"][1]) for one in found] if isinstance(found, list) else []
        return [value for value in values if not math.isnan(value)]

    def series(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """By their labels, sorted."""
        found = self.asked("query", query=expression)["result"]
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found}

    def until_value(self, expression: str, value: float) -> None:
        """The expression gives this one value."""
        self.until(lambda: self.values(expression) == [value], what=f"{expression} is {value}")

    def until_all_have_data(self, expressions: Collection[str]) -> None:
        """What is left at the end is named."""
        left = set(expressions)

        def none_left() -> bool:
            left.difference_update([one for one in left if self.values(one)])
            return not left

        end_s = time.monotonic() + _TIMEOUT_S
        while not none_left():
            assert time.monotonic() < end_s, f"no data: {sorted(left)}\n{self._said()}"

    def asked(self, what: str, **words: str) -> Mapping[str, Any]:
        """The API's answer."""
        with urlopen(f"http://{self._at}/api/v1/{what}?{urlencode(words)}", timeout=_TIMEOUT_S) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=_TIMEOUT_S)
        self._log.close()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._said()
        try:
            with urlopen(f"http://{self._at}/-/ready", timeout=_TIMEOUT_S) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def _said(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()[-3000:]
