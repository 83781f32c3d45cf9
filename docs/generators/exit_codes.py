"""The page of exit codes: the codes from the errors that have them, examples by hand."""

from __future__ import annotations

from docs.generators.markdown import notice, table
from statmux.main import INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE
from vocabulary.errors import Infeasible, InvalidInput, RuntimeFailure, TimedOut, Unreachable

PROSE = """
Results are written before an exit with 3: `statmux simulate` prints its table, `statmux plan` also writes
its plan, and `statmux capacity --out` writes its folder. Without `--require-attainment` none exits with 3
over attainment, but `statmux plan` does where no configuration can keep the SLO of a model with
`slo.attainment`, and where an objective that looks for a cluster finds none; it says what would be enough.
With `--require-attainment`, `statmux capacity` exits with 3 when the base point does not hold; with
`--minimize` too, only when no size in the range holds. `statmux parallelize` does when no layout fits the
memory.

Ctrl-C ends a search with the best plan so far, which is printed and written; the code is 130 all the same.

An error is one `error:` line on stderr with the file, line or key path and the cause, and usually a `hint:`
with the remedy. Results go to stdout only. What a *call* to a fleet is refused with is in
[errors](errors.md).
"""
# By exit code: its name, and examples.
ROWS = {
    0: ("done", ""),
    RuntimeFailure.exit_code: (
        "something failed that should have worked",
        "a port is in use, Ray does not start, a file cannot be written; a group did not start after "
        "`apply`; `doctor` found something bad; a bug",
    ),
    InvalidInput.exit_code: (
        "a file, a flag or the usage is wrong; nothing was started or changed",
        "an unknown key, a bad row of a trace, no such file; `apply` of what cannot change while a fleet "
        "serves; no request of that id",
    ),
    Infeasible.exit_code: (
        "it cannot be met",
        "no model fits; `--require-attainment` is not met; required replicas do not fit, or not under the "
        "rules; no room for `models load`; `drain` or `apply` would leave a model without a replica",
    ),
    Unreachable.exit_code: (
        "no fleet or endpoint answers",
        "`statmux status`, `apply`, `drain`, `models`, `bench` or `stop` without a fleet; no Ray at "
        "`--address`",
    ),
    TimedOut.exit_code: (
        "waited as long as was asked for",
        "`statmux status --wait ready --timeout 10s`; `apply`, `drain` and `models` with `--timeout`: the "
        "fleet goes on with it",
    ),
    INTERRUPTED_EXIT_CODE: ("ended by SIGINT", "Ctrl-C"),
    TERMINATED_EXIT_CODE: ("ended by SIGTERM", ""),
}


def page() -> str:
    """The page reference/exit-codes.md."""
    rows = ([str(number), *words] for number, words in ROWS.items())
    return f"{notice('exit_codes')}# Exit codes\n\n{table(('code', 'meaning', 'examples'), rows)}{PROSE}"
