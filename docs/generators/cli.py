"""The page of the command line: every verb with its arguments and options, from the parser itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.generators.markdown import code, notice, table
from statmux.main import TAKES_OVERRIDES, VERBS, command
from statmux.options import global_parameters

PROSE = """# Command line

```text
statmux VERB [ARGUMENTS] [OPTIONS]
```

Results go to stdout: a table for people, or with `-o json` and `-o yaml` one document for programs.
Progress, hints and errors go to stderr. What went wrong is told by the [exit code](exit-codes.md): every
verb can end with 0, 1, 2, 130 and 143, and the others are named with the verb. Durations are numbers of
seconds or have a unit (`30s`, `2m`, `1h`), sizes and bandwidths too (`64MiB`, `25Gb/s`).

"""
COMMON = """## Options of every verb

They may stand before or after the verb. `--set` is there for verbs that read a deployment ({verbs}) and
overrides one key of it by its path: `--set models.chat.slo.latency_ms=200`.

"""
# Exit codes beyond those of every verb.
EXITS = {
    "plan": (3,), "simulate": (3,), "capacity": (3,), "parallelize": (3,), "serve": (3,), "report": (),
    "apply": (3, 4, 5), "drain": (3, 4, 5), "models": (3, 4, 5), "explain": (4,), "bench": (4,),
    "status": (4, 5), "stop": (4, 5),
}  # fmt: skip


def page() -> str:
    """The page reference/cli.md."""
    verbs = ", ".join(code(name) for name in VERBS if is_overriding(name))
    common = table(
        OPTION_HEADS, [row for one in global_parameters(takes_overrides=True) if (row := option_row(one))]
    )
    parts = [notice("cli"), PROSE, index(), COMMON.format(verbs=verbs), common]
    return "".join([*parts, *(section(name, one) for name, one in commands())])


# The values of an option that has few.
CHOICES = re.compile(r" <([^>]*[|][^>]*)>")
OPTION_HEADS = ("option", "values, default", "meaning")


def is_overriding(verb: str) -> bool:
    """Whether `--set` is among the options of the verb, or of one below it."""
    return any(name.split()[0] == verb for name in TAKES_OVERRIDES)


def index() -> str:
    """Every verb with its line of `statmux --help`."""
    names = [name for name, _ in commands()]
    rows = (
        (", ".join(link(name) for name in names if name.split()[0] == verb), line)
        for verb, line in VERBS.items()
    )
    return table(("verb", "what it does"), rows) + "\n"


def link(name: str) -> str:
    """A link to the section of a verb."""
    return f"[`{name}`](#statmux-{name.replace(' ', '-')})"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with its name below `statmux`."""
    parser = command()
    for verb in VERBS:
        found = parser.get_command(typer.Context(parser), verb)
        if hasattr(found, "commands"):
            yield from ((f"{verb} {name}", inner) for name, inner in found.commands.items())
        else:
            yield verb, found


def section(name: str, found: Any) -> str:
    """One command: what it promises, its usage, arguments, options, exit codes."""
    own = [one for one in found.params if not is_common(one)]
    arguments = [one for one in own if one.param_type_name == "argument"]
    options = [row for one in own if one.param_type_name == "option" and (row := option_row(one))]
    words = " ".join(usage_word(one) for one in arguments)
    parts = [f"\n## statmux {name}\n\n{text_of(found.help)}\n"]
    parts.append(
        f"\n```text\nstatmux {name}{f' {words}' if words else ''}{' [OPTIONS]' if options else ''}\n```\n"
    )
    if arguments:
        rows = ([code(usage_word(one)), limits_of(one), one.help or ""] for one in arguments)
        parts.append("\n" + table(("argument", "default, limits", "meaning"), rows))
    if options:
        parts.append("\n" + table(OPTION_HEADS, options))
    if codes := EXITS.get(name.split()[0], ()):
        parts.append(f"\nAlso exits with {' or '.join(map(str, codes))}.\n")
    return "".join(parts)


def is_common(parameter: Any) -> bool:
    """Whether every verb has it."""
    return parameter.name in COMMON_NAMES and not parameter.expose_value


COMMON_NAMES = frozenset(one.name for one in global_parameters(takes_overrides=True))


def text_of(help_text: str | None) -> str:
    """A docstring as Markdown: paragraphs as they are."""
    return inspect.cleandoc(help_text or "").replace("\f", "")


def usage_word(argument: Any) -> str:
    """`DEPLOYMENT`, or `[DEPLOYMENT]` where it may be left out."""
    word = argument.metavar or argument.name.upper()
    word += "..." * (argument.nargs != 1)
    return word if argument.required else f"[{word}]"


def option_row(option: Any) -> list[str] | None:
    """An option as a row; None where it is hidden."""
    record = option.get_help_record(typer.Context(command()))
    if record is None:
        return None
    choices = CHOICES.search(record[0])
    told = [", ".join(map(code, choices[1].split("|")))] if choices else []
    flags = CHOICES.sub("", record[0]).replace(" range>", ">").replace("<str>", "<text>")
    return [code(flags), "; ".join([*told, *filter(None, [limits_of(option)])]), option.help or ""]


def limits_of(parameter: Any) -> str:
    """What the help says in brackets: the default and what is allowed."""
    record = parameter.get_help_record(typer.Context(command()))
    told = record[1].removeprefix(parameter.help or "").strip() if record else ""
    return told.strip("[]").replace("default: ", "").replace("; ", ", ")
