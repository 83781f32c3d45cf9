"""What stands in deploy/grafana and deploy/prometheus: panels, their queries, rules, the metrics named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.metric_families import catalogue

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARDS = tuple(sorted((DEPLOY / "grafana").glob("*.json")))
_VALUES = {"$__rate_interval": "1m", "$job": "statmux", "$model": ".+", "$group": ".+"}
_LABEL_VALUES = re.compile(r"label_values\((?P<metric>.+), (?P<label>\w+)\)")
_NAME = re.compile(r"\b(?:statmux[a-z_]*[:_][a-z0-9_:]+|up)\b")
_COMPARISON = re.compile(r"(?:==|!=|>=|<=|>|<)\s*[0-9.]+")


@dataclass(frozen=True, slots=True)
class Query:
    """where: in words, for who reads of a failure."""

    where: str
    expression: str


def dashboard(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """But for rows."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def queries(board: Mapping[str, Any]) -> Iterator[Query]:
    """Of all panels, variables and annotations, for everything that can be chosen."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield Query(f"{board['title']}: {panel['title']}", _filled(target["expr"]))
    for variable in board["templating"]["list"]:
        found = _LABEL_VALUES.fullmatch(
            str(variable["query"]) if variable["type"] != "query" else variable["definition"]
        )
        if found is not None:
            expression = f"group by ({found['label']}) ({_filled(found['metric'])})"
            yield Query(f"{board['title']}: variable {variable['name']}", expression)
    for one in board["annotations"]["list"]:
        yield Query(f"{board['title']}: {one['name']}", stripped(_filled(one["expr"])))


def rules(kind: str) -> Iterator[dict[str, Any]]:
    """kind: "alert" or "record"."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from (rule for rule in group["rules"] if kind in rule)


def stripped(expression: str) -> str:
    """Without its comparisons: what it looks at, also when all is well."""
    return _COMPARISON.sub("", expression)


def metrics_named(expression: str) -> set[str]:
    """Families and recorded series; a histogram's parts count as the histogram."""
    without_labels = re.sub(r"\{[^}]*\}|\b(?:by|on|group_left|without)\s*\([^)]*\)", "", expression)
    histograms = {one.name for one in catalogue() if one.kind == "histogram"}
    names = set()
    for name in _NAME.findall(without_labels):
        whole = re.sub(r"_(?:bucket|sum|count)$", "", name)
        names.add(whole if whole in histograms else name)
    return names


def _filled(expression: str) -> str:
    for name, value in _VALUES.items():
        expression = expression.replace(name, value)
    return expression
