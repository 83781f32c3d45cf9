"""Where endpoints send calls for text: checks them against the model, tokenises, asks the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

from controller.calls import GenerationView, ModelState, ModelView, Reason
from controller.fleet import Fleet
from controller.text.answers import TextAnswer
from controller.text.calls import (
    TextCall,
    check_chars,
    check_length,
    check_messages,
    check_stop,
    generate_call,
)
from controller.text.codec import TextCodec
from controller.text.model_text import NO_TEXT, ModelText
from controller.text.names import unknown_model
from controller.text.refused import Refused
from controller.versioned import is_unknown
from vocabulary.limits import DEFAULT_LIMITS, Limits
from vocabulary.versions import spec_name

# Shorter texts are tokenised in well under a millisecond, which a thread would not make better.
_MAX_CHARS_ON_LOOP = 4096


@final
class TextFront:
    """texts: of every model, by canonical name. All methods run on the fleet's event loop."""

    def __init__(
        self,
        fleet: Fleet,
        texts: Mapping[str, ModelText],
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._fleet = fleet
        self._texts = texts
        self._limits = limits

    def over(self, fleet: Fleet) -> TextFront:
        """The same texts in front of another fleet."""
        return TextFront(fleet, self._texts, limits=self._limits)

    def view(self, model: str) -> ModelView:
        """The model under a name or alias. Raises Refused if there is none."""
        models = self._fleet.models()
        view = models.get(model)
        if view is None:
            raise unknown_model(model, list(models))
        return view

    async def awaited(self, model: str) -> None:
        """What the model takes is known from here on, if it can be: see `Fleet.awaited`."""
        view = self._fleet.models().get(model)
        if view is not None and is_unknown(view):
            await self._fleet.awaited(view.name)

    def text(self, model: str) -> ModelText:
        """What is known about the text of a model. Raises Refused if there is no such model."""
        view = self.view(model)
        # Versions of a model that answer for one another have one tokenizer (`open_texts`).
        own = spec_name(view.name, view.versions[0])
        return self._texts.get(view.name) or self._texts.get(own, NO_TEXT)

    def generation(self, model: str) -> GenerationView:
        """Raises Refused if there is no such model, or it does not generate."""
        view = self.view(model)
        if view.generation is not None:
            return view.generation
        if view.state is not ModelState.READY and not view.inputs:
            raise Refused(Reason.UNAVAILABLE, f"model {model!r} is not ready: {view.state_reason}")
        raise Refused(
            Reason.INVALID_REQUEST,
            f"model {model!r} does not generate; it gives {[spec.name for spec in view.outputs]}",
            param="model",
        )

    def chat_prompt(
        self,
        model: str,
        messages: Sequence[Mapping[str, object]],
        *,
        adds_generation_prompt: bool = True,
        variables: Mapping[str, object] = {},
        call_id: str = "",
    ) -> str:
        """The prompt of a conversation, with its special tokens. Raises Refused; the fleet counts that."""
        with self._counting(model, "openai", call_id):
            check_messages(messages, self._limits)
            return self._chat_prompt(model, messages, adds_generation_prompt, variables)

    async def start(self, call: TextCall) -> TextAnswer:
        """Ask the fleet. Raises Refused where the call does not fit the model; the fleet counts that."""
        with self._counting(call.model, call.protocol, call.request_id):
            view, codec = self.generation(call.model), self.text(call.model).codec
            assert call.wants_text or not call.stop, call
            check_stop(call, codec)
            if isinstance(call.prompt, str):
                check_chars(len(call.prompt), self._limits, param="prompt")
            prompt_ids = call.prompt if isinstance(call.prompt, tuple) else await _tokens(call, view, codec)
            asked = generate_call(call, prompt_ids, self.view(call.model).name, view)
            stream = self._fleet.generate(asked)
            speaking = codec if call.wants_text else None
            return TextAnswer(stream, call, asked, codec=speaking, eos_ids=view.eos_ids)

    @contextmanager
    def _counting(self, model: str, protocol: str, call_id: str) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            known = self._fleet.models().get(model)
            name = known.name if known is not None else ""
            self._fleet.turned_away(name, refused.refusal, protocol=protocol, call_id=call_id)
            refused.is_counted = True
            raise

    def _chat_prompt(
        self,
        model: str,
        messages: Sequence[Mapping[str, object]],
        adds_generation_prompt: bool,
        variables: Mapping[str, object],
    ) -> str:
        self.generation(model)
        text = self.text(model)
        if text.codec is None:
            raise no_tokenizer(model, param="messages")
        if text.template is None:
            raise Refused(
                Reason.INVALID_REQUEST,
                f"model {model!r} has no chat template; send a prompt instead of messages, or put a "
                "chat_template.jinja into its folder",
                param="messages",
            )
        return text.template.prompt(
            messages, adds_generation_prompt=adds_generation_prompt, variables=variables
        )


async def _tokens(call: TextCall, view: GenerationView, codec: TextCodec | None) -> tuple[int, ...]:
    if codec is None:
        raise no_tokenizer(call.model, param="prompt")
    check_length(call.prompt, view, codec)
    return await tokens_of(call.prompt, codec, adds_special=call.adds_special)


async def tokens_of(text: str, codec: TextCodec, *, adds_special: bool) -> tuple[int, ...]:
    """Long texts are tokenised on a thread, so that the loop goes on."""
    if len(text) <= _MAX_CHARS_ON_LOOP:
        return codec.encode(text, adds_special=adds_special)
    return await asyncio.to_thread(codec.encode, text, adds_special=adds_special)


def no_tokenizer(model: str, *, param: str) -> Refused:
    """Of a model that only knows token ids."""
    return Refused(
        Reason.INVALID_REQUEST,
        f"model {model!r} has no tokenizer.json, so it takes no text; send the prompt as a list of token ids",
        param=param,
    )
