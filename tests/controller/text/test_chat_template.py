"""Chat templates of checkpoints, in their sandbox."""

from __future__ import annotations

import pytest

from controller.text.chat_template import ChatTemplate
from controller.text.refused import Refused
from vocabulary.errors import InvalidInput

HELLO = [{"role": "user", "content": "hi"}]
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CHATML = (
    "{%- for message in messages %}\n    {{- '<|im_start|>' + message.role + '\\n' + message.content +"
    " '<|im_end|>' + '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
)


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, tokens={"bos_token": "<s>", "eos_token": "</s>"}, where="chat_template.jinja")


def refusal_of(source: str, messages: list[dict[str, object]] = HELLO, **options: object) -> Refused:
    with pytest.raises(Refused) as caught:
        template(source).prompt(messages, **options)
    return caught.value


def test_llama_2s_template_writes_llama_2s_prompt() -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    assert template(LLAMA_2).prompt(messages) == "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nhi [/INST]"


def test_chatml_template_begins_the_answer_where_it_is_asked_to() -> None:
    said = "<|im_start|>user\nhi<|im_end|>\n"
    assert template(CHATML).prompt(HELLO) == said + "<|im_start|>assistant\n"
    assert template(CHATML).prompt(HELLO, adds_generation_prompt=False) == said


def test_templates_that_transformers_takes_read_as_they_do_there() -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils", reason="transformers is not here")
    messages = [{"role": "system", "content": "<é>"}, *HELLO]
    sources = (
        LLAMA_2,
        CHATML,
        "{{ messages | tojson }} {{ messages | tojson(indent=2) }}",
        "{%- set ns = namespace(last=-1) -%}{% for m in messages %}{% set ns.last = loop.index0 %}"
        "{% endfor %}{{ ns.last }}{{ dict(a=1).a }}",
        "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    )
    for source in sources:
        theirs, _ = utils.render_jinja_template(
            [messages], chat_template=source, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
        )
        assert template(source).prompt(messages) == theirs[0], source


def test_what_a_template_does_not_take_is_the_clients_fault_in_the_templates_words() -> None:
    refused = refusal_of(LLAMA_2, [{"role": "assistant", "content": "hi"}])
    assert "roles must alternate" in str(refused) and refused.param == "messages"
    for source in ("{{ messages[3].content.x }}", "{{ 1 / 0 }}", "{{ messages | sum }}", "{{ nobody() }}"):
        assert refusal_of(source).param == "messages", source


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__code__ }}",
        "{% set ns = namespace(__class__=1) %}",
        "{{ dict.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for x in range(99999999) %}{% endfor %}",
        "{% include 'other' %}",
    ],
)
def test_the_sandbox_holds(source: str) -> None:
    try:
        written = template(source).prompt(HELLO)
    except Refused:
        return
    assert written == "", "an unsafe attribute is undefined, at best"


def test_a_broken_template_is_told_when_it_is_opened() -> None:
    with pytest.raises(InvalidInput, match="not a chat template") as caught:
        template("{% for message in messages %}")
    assert caught.value.where == "chat_template.jinja"


def test_clients_may_set_variables_but_not_ours() -> None:
    source = "{% if enable_thinking %}<think>{% endif %}{{ messages[0].content }}"
    assert template(source).prompt(HELLO, variables={"enable_thinking": True}) == "<think>hi"
    refused = refusal_of(source, variables={"messages": []})
    assert refused.param == "chat_template_kwargs"
