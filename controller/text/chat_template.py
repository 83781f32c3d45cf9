"""Chat templates of checkpoints: messages to one prompt, in a sandbox. Nothing of a checkpoint is executed.

Templates get what `transformers` gives them, since they are written for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, final

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import Namespace

from controller.calls import Reason
from controller.text.refused import Refused
from vocabulary.errors import InvalidInput

# What a template's variables are called; a client's own may not replace them.
_OURS = ("messages", "tools", "documents", "add_generation_prompt")
# What a template's own words can raise on messages that it was not written for.
_TEMPLATE_ERRORS = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, NameError,
    RecursionError, TypeError, ValueError,
)  # fmt: skip


@final
class ChatTemplate:
    """One compiled template. tokens: `bos_token`, `eos_token` and the like, which templates write."""

    def __init__(self, source: str, *, tokens: Mapping[str, str], where: str) -> None:
        """Raises InvalidInput if `source` is not a template."""
        self._tokens = dict(tokens)
        try:
            self._template = _ENVIRONMENT.from_string(source)
        except jinja2.TemplateError as error:
            raise InvalidInput(f"not a chat template: {error}", where=where) from error

    def prompt(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        adds_generation_prompt: bool = True,
        variables: Mapping[str, object] = {},
    ) -> str:
        """The prompt of a conversation. variables: what else the template may look at.

        Raises Refused where the template does not take the messages, or fails on them.
        """
        for name in (*_OURS, *self._tokens):
            if name in variables:
                raise Refused(
                    Reason.INVALID_PARAMETER,
                    f"the chat template's {name!r} cannot be set",
                    param="chat_template_kwargs",
                )
        try:
            return self._template.render(
                **variables,
                **self._tokens,
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=adds_generation_prompt,
            )
        except _TEMPLATE_ERRORS as error:
            raise Refused(
                Reason.INVALID_PARAMETER,
                f"the model's chat template does not take these messages: {error}",
                param="messages",
            ) from error


class _Generation(Extension):
    """`{% generation %}`, which marks an assistant's words for training: here they are only words."""

    tags = {"generation"}  # noqa: RUF012  (jinja reads it so)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _PlainNamespace(Namespace):
    """Without names that begin with an underscore, which are Python's."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # so that namespace(self=...) works, as in jinja
        self, given = args[0], dict(*args[1:], **kwargs)
        for name in given:
            _check_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)


class _PlainDict:
    """`dict(...)` without the type's attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict:
        return dict(*args, **kwargs)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}")


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """jinja's own would escape HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _PlainDict(),
        "namespace": _PlainNamespace,
    }
    return environment


_ENVIRONMENT = _environment()
