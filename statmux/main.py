"""`statmux`: reads the command line, runs one verb, and turns errors into messages and exit codes.

Verbs are imported when they are used, so that `statmux --help` stays quick.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Annotated, Any, final

import typer
from typer.core import TyperGroup

from statmux.completing import prepare
from statmux.options import Choices, global_parameters
from statmux.render import Console
from vocabulary.errors import RuntimeFailure, StatmuxError

# Verb -> its line in --help. The code is in statmux/verbs/<verb>.py.
VERBS = {
    "init": "Write a commented deployment.yaml to start from.",
    "validate": "Check a deployment, offline.",
    "profile": "Measure, estimate, complete or import what models cost.",
    "plan": "Search for the placement that keeps most requests within their SLO.",
    "simulate": "Replay a trace on a plan, in virtual time.",
    "capacity": "Sweep devices, rate, SLO and burstiness; find the smallest fleet that holds.",
    "trace": "Inspect, convert, import, fit, generate or resample traces.",
    "parallelize": "Choose how a model's tensors are shared by the devices of a mesh.",
    "reshard": "Plan how a sharded tensor moves between meshes, and what that costs.",
    "serve": "Start a fleet and serve it, in the foreground.",
    "apply": "Change the deployment or the plan of a running fleet.",
    "status": "Show groups, models and SLO attainment of a running fleet.",
    "explain": "Say why a request was answered as it was, or what was decided lately.",
    "models": "List, load and unload models of a running fleet.",
    "drain": "Take a group or a host out of service, and back.",
    "bench": "Replay a trace against a running fleet.",
    "stop": "Stop a running fleet.",
    "doctor": "Say whether a fleet would start here, and what would go wrong later.",
    "completion": "Print the script that completes words for a shell.",
    "report": "Write an HTML report from runs.",
    "schema": "Print the JSON Schema of a kind of file.",
    "version": "Print versions.",
}
# Verbs that read a deployment, whose keys `--set` overrides.
TAKES_OVERRIDES = frozenset(
    {"validate", "profile", "plan", "simulate", "capacity", "serve", "apply", "bench", "trace gen"}
)
USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130
TERMINATED_EXIT_CODE = 143

# The usage errors of the command-line parser; typer exports the most special one of them.
_UsageError = typer.BadParameter.__mro__[1]
_ParserError = typer.BadParameter.__mro__[2]


class Terminated(BaseException):
    """SIGTERM, raised in the main thread so that `finally` blocks run."""


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 ok, 1 failed, 2 usage, 3 infeasible, 4 unreachable, 5 timed out, 130, 143 signals."""
    choices = Choices()
    signal.signal(signal.SIGTERM, _terminate)
    prepare()
    try:
        code = command().main(arguments, prog_name="statmux", standalone_mode=False, obj=choices)
        return code if isinstance(code, int) else 0
    except StatmuxError as error:
        Console(choices).error(str(error), hint=error.hint)
        if choices.verbosity:
            _show_traceback()
        return error.exit_code
    except _ParserError as error:
        Console(choices).error(_sentence(error), hint=_usage_hint(error))
        return USAGE_EXIT_CODE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED_EXIT_CODE
    except Terminated:
        return TERMINATED_EXIT_CODE
    except Exception as error:
        hint = "this is a bug in statmux; run it again with -v for the traceback"
        Console(choices).error(f"{type(error).__name__}: {error}", hint=hint)
        if choices.verbosity:
            _show_traceback()
        return 1


def command() -> Any:
    """The parser of the whole command line; verbs are imported when they are asked for."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, cls=_Verbs)
    app.callback(invoke_without_command=True, subcommand_metavar="VERB [ARGS]...")(_statmux)
    command = typer.main.get_command(app)
    _add_globals(command, "statmux")
    return command


def _statmux(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Serve many models on a few accelerators: plan a placement, simulate it, serve it."""
    if version:
        from statmux.verbs.version import statmux_version

        typer.echo(statmux_version())
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(USAGE_EXIT_CODE)


@final
class _Verbs(TyperGroup):
    """The verbs by name; a verb's module is imported by `get_command`, never by --help."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            near = get_close_matches(cmd_name, VERBS, n=1)
            ctx.fail(f"there is no verb {cmd_name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        module = f"statmux.verbs.{cmd_name}"
        if find_spec(module) is None:
            raise RuntimeFailure(f"the verb {cmd_name} is not in this version", hint="see `statmux --help`")
        command = typer.main.get_command(import_module(module).app)
        _add_globals(command, cmd_name)
        return command

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _add_globals(command: Any, name: str) -> None:
    if isinstance(command, TyperGroup):
        for inner_name, inner in command.commands.items():
            _add_globals(inner, f"{name} {inner_name}")
    command.params.extend(global_parameters(takes_overrides=name in TAKES_OVERRIDES))


def _sentence(error: Any) -> str:
    text = " ".join(str(error.format_message()).split()).rstrip(".").replace("Value error, ", "")
    return text[:1].lower() + text[1:]


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path if context else 'statmux'} --help`"


def _show_traceback() -> None:
    import traceback

    traceback.print_exc(file=sys.stderr)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(run())
