"""One capacity study from its words to what the user sees: prepared, run, shown, written."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placement.capacity.evaluate import Study, evaluate, first_outcomes
from placement.capacity.points import deployment_at
from simulator.fast import load_compiler
from statmux.render import SCHEMA_VERSION, Console
from statmux.sweeping.answers import Answers, Questions, answers_to
from statmux.sweeping.asked import Asked, identify, prepare
from statmux.sweeping.document import capacity_document
from statmux.sweeping.files import write_study
from statmux.sweeping.pool import AbstractPool, LocalPool
from statmux.sweeping.runner import Runner
from statmux.sweeping.store import ROOT, Store
from statmux.sweeping.tables import capacity_text
from vocabulary.formats.disk import write_bytes

INTERRUPTED_EXIT_CODE = 130
UNMET_EXIT_CODE = 3


@dataclass(frozen=True, slots=True)
class Ways:
    """How to run a study and where to write. num_processes None: all cores; address: of a Ray cluster."""

    num_processes: int | None = None
    address: str | None = None
    is_fresh: bool = False
    out: Path | None = None
    report: Path | None = None

    @property
    def writes(self) -> bool:
        return self.out is not None or self.report is not None


def run_study(asked: Asked, ways: Ways, console: Console) -> int:
    """The exit code. Raises what `prepare` and a point raise; what was found until then is kept."""
    start_s = time.perf_counter()
    load_compiler()
    prepared = prepare(asked)
    for sentence in prepared.remarks:
        console.say(sentence)
    inputs, run_id = identify(asked, prepared)
    store = Store(ROOT / run_id)
    if ways.is_fresh:
        store.clear()
    study, questions = prepared.study, prepared.questions
    is_eager = ways.address is not None
    with Runner(study, store=store, open_pool=_pool(study, ways), is_eager=is_eager) as runner:
        try:
            answers = answers_to(questions, study, runner, console)
        except KeyboardInterrupt:
            return _interrupted(runner, store, console)
    document = capacity_document(answers, questions, study, inputs=inputs, run_id=run_id)
    document |= {
        "num_points": runner.num_computed + runner.num_resumed,
        "num_resumed": runner.num_resumed,
        "seconds": round(time.perf_counter() - start_s, 3),
    }
    if runner.num_resumed:
        console.say(f"{runner.num_resumed} points were known from {store.folder} (--fresh forgets them)")
    if ways.writes:
        seen = _evidence(answers, questions, study, document["verdict"]["curve"])
        _write({"schema_version": SCHEMA_VERSION, **document, "evidence": seen}, ways)
    has_blocks = (sys.stdout.encoding or "").lower().startswith("utf")
    console.result(document, lambda: capacity_text(document, has_blocks=has_blocks))
    _say_next(console, document, ways)
    return UNMET_EXIT_CODE if asked.required_attainment is not None and not _is_met(document) else 0


def _pool(study: Study, ways: Ways) -> Callable[[], AbstractPool] | None:
    """How to start processes, when there is enough to do; None: all is done here."""
    if ways.address is not None:
        from controller.on_ray.map import RayMap

        address = ways.address
        return lambda: RayMap(evaluate, study, address=address)
    num_processes = ways.num_processes or _num_cores()
    return None if num_processes == 1 else lambda: LocalPool(study, num_processes=num_processes)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _evidence(answers: Answers, questions: Questions, study: Study, curve: str) -> dict[str, Any] | None:
    """What the report draws of the base point beside its numbers; None without a plan."""
    placement = answers.base[curve].placement
    if placement is None:
        return None
    from statmux.reporting.evidence import evidence

    deployment = deployment_at(study.deployment, questions.base)
    return evidence(first_outcomes(study, questions.base, placement), placement, deployment)


def _write(document: dict[str, Any], ways: Ways) -> None:
    if ways.out is not None:
        write_study(ways.out, document)
    if ways.report is not None:
        from statmux.reporting.capacity_page import capacity_page

        write_bytes(ways.report, capacity_page(document).encode())


def _is_met(document: dict[str, Any]) -> bool:
    """With --minimize: a cluster was found; else: the base point holds. The best curve counts."""
    smallest = document["minimized"]
    return any(one["is_met"] for one in smallest) if smallest else document["verdict"]["holds"]


def _say_next(console: Console, document: dict[str, Any], ways: Ways) -> None:
    for one in document["minimized"] or ():
        if one["remedy"] is not None:
            console.hint(f"{one['curve']}: {one['remedy']}")
    if not document["minimized"] and not document["verdict"]["holds"]:
        console.hint("find the smallest cluster that holds with --minimize devices")
    if not ways.writes:
        console.hint("keep the numbers with --out FOLDER, or look at them with --report FILE.html")


def _interrupted(runner: Runner, store: Store, console: Console) -> int:
    num_kept = runner.num_computed + runner.num_resumed
    kept = "1 point is" if num_kept == 1 else f"{num_kept} points are"
    console.warn(f"interrupted: {kept} kept in {store.folder}")
    console.hint("the same command goes on from there; --fresh starts again")
    return INTERRUPTED_EXIT_CODE
