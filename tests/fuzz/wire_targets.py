"""What comes over sockets: frames, v2 over gRPC and REST, OpenAI's bodies, templates, the control socket."""

from __future__ import annotations

import json
from functools import cache
from random import Random

import msgspec
from starlette.datastructures import Headers

from controller.grpc_v2.admission import Admission
from controller.grpc_v2.contents import FIELDS
from controller.grpc_v2.echo_fleet import EchoFleet, echo_view
from controller.grpc_v2.messages import ModelInferRequest
from controller.grpc_v2.wire import split
from controller.http.chat_request import parse_chat, template_messages
from controller.http.completion_request import parse_completion, prompts_of
from controller.http.embedding_request import parse_embedding, texts_of
from controller.http.endpoint import Asked
from controller.http.text_calls import text_call
from controller.http.v2_generate import generate_request
from controller.http.v2_tensors import asking_of
from controller.security.json_depth import is_deeper
from controller.tenants import tenants_of
from controller.text import Refused, TextFront
from controller.text.calls import check_stop, generate_call
from controller.text.chat_template import ChatTemplate
from controller.verbs.control import ControlServer, socket_path
from tests.controller.grpc_fleet import EVERY_TYPE, X
from tests.controller.http.story import CODEC, EOS_ID, MAX_MODEL_LEN, TEMPLATE, VOCAB_SIZE, story_texts
from tests.controller.scripted_fleet import generating_view
from tests.fuzz.runner import Target
from vocabulary.errors import InvalidInput, RuntimeFailure
from vocabulary.limits import DEFAULT_LIMITS
from vocabulary.numpy_tensors import pack_bytes
from vocabulary.sampling import SampledToken, Sampling
from vocabulary.security import Security, TokenSpec
from vocabulary.tensors import DATATYPES, Tensor, TensorSpec
from workers.frames import (
    MAX_GREETING_BYTES,
    AtWork,
    Beat,
    Done,
    FrameReader,
    Gone,
    Hello,
    ModelBeat,
    ReplicaBeat,
    Run,
    Tokens,
    Withdrawn,
    encode_frame,
    tensor_headers,
)
from workers.frames import GenerationAsk as Ask

_TENSORS = (Tensor("x", "FP32", (2, 2), bytes(16)), Tensor("t", "BYTES", (1,), pack_bytes((b"hi",))))
_ASK = Ask(8, 4, 1, Sampling(), 1.0, 0.1, "tenant", 7, (1, 2))
_HEADERS = (
    (Hello("k" * 64, 1.5, 2), ()),
    (Run(1, "m", 0.5, 1.0, 2.0, tensor_headers(_TENSORS)), _TENSORS),
    (Run(2, "m", 0.5, 1.0, 2.0, (), _ASK), ()),
    (Withdrawn(3), ()),
    (Done(4, "served", 0.5, 0.6, 2, "", tensor_headers(_TENSORS), ("stop",), 3), _TENSORS),
    (Beat(1, 2, 3, (0.5,), (ModelBeat("m", 1, 2, 3, 4, 5, 6, 7),), (ReplicaBeat("m", 1),), 0.5), ()),
    (Gone("why"), ()),
    (Tokens((SampledToken(1, 0, 5, -0.5, ((5, -0.5),)),)), ()),
    (AtWork((1, 2, 3)), ()),
)
_FRAMES = tuple(b"".join(bytes(part) for part in encode_frame(*one)) for one in _HEADERS)
_ENCODED = tuple(msgspec.msgpack.encode(header) for header, _ in _HEADERS)
_CALLERS = (b"Bearer one\0team", b"bearer two\0team-b", b"Basic x\0")
_SECRETS = {"A": "one", "B": "two"}
_TENANTS = tenants_of(
    Security(
        "token", (TokenSpec("a", "a", secret_env="A"), TokenSpec("b", "b", secret_env="B", is_trusted=True))
    ),
    folder=".",
    environment=_SECRETS,
)


def wire_targets() -> tuple[Target, ...]:
    """Weights: what anybody can send counts most."""
    refused = (Refused,)
    return (
        Target("frames", (*_FRAMES, b"".join(_FRAMES)), _read_frames, (RuntimeFailure,), 3),
        Target("frame headers", _ENCODED, _read_header, (RuntimeFailure,), 3),
        Target("greetings", _FRAMES[:2], _greet, (RuntimeFailure,), 1),
        Target("v2 gRPC split", _requests(), split, (), 2),
        Target("v2 gRPC", _requests(), _admit, refused, 4),
        Target("v2 gRPC fields", (b"1", b"2"), _admit_drawn, refused, 3),
        Target("v2 REST", _rest_bodies(), _rest, refused, 3),
        Target("v2 generate", _generate_bodies(), _generate, refused, 2),
        Target("OpenAI chat", _chat_bodies(), _chat, refused, 3),
        Target("OpenAI completions", _completion_bodies(), _complete, refused, 2),
        Target("OpenAI embeddings", _embedding_bodies(), _embed, refused, 1),
        Target("chat templates", _templates(), _template, (*refused, InvalidInput), 0.5),
        Target("JSON depth", (*_chat_bodies(), b'{"a\\"[": ["]", {"b": [1, [2]]}]}'), _depth, (), 2),
        Target("control socket", _control_lines(), _control, (), 2),
        Target("tokens and tenants", _CALLERS, _call_as, (), 2),
    )  # fmt: skip


def _read_frames(data: bytes) -> None:
    """In two pieces, cut where the first byte says."""
    reader, cut = FrameReader(), data[0] % (len(data) + 1) if data else 0
    for part in (data[:cut], data[cut:]):
        for frame in reader.feed(part):
            assert sum(len(one.raw) for one in frame.tensors) <= len(data)


def _read_header(data: bytes) -> None:
    """With lengths and sum that are right: what somebody with the key could send."""
    from workers import frames

    lengths = frames._LENGTHS.pack(len(data), len(data))
    frame = lengths + frames.crc32(data, frames.crc32(lengths)).to_bytes(4, "little") + data
    for _ in FrameReader().feed(frame):
        pass


def _greet(data: bytes) -> None:
    for _ in FrameReader(max_bytes=MAX_GREETING_BYTES).feed(data):
        pass


@cache
def _fleet() -> EchoFleet:
    chat = generating_view("chat", vocab_size=VOCAB_SIZE, max_model_len=MAX_MODEL_LEN, eos_ids=(EOS_ID,))
    text = TensorSpec("text", "BYTES", (-1,))
    return EchoFleet([echo_view("echo", X), echo_view("text", text), echo_view("every", *EVERY_TYPE), chat])


@cache
def _front() -> TextFront:
    return TextFront(_fleet(), story_texts())


@cache
def _admission() -> Admission:
    return Admission(_fleet(), _front())


def _admit(data: bytes) -> None:
    form, asked = _admission().admit(data, None)
    if form is not None:
        assert asked.model in _fleet().models()


def _admit_drawn(data: bytes) -> None:
    """A message of odd fields, which the bytes draw: mutated messages seldom are one at all."""
    random = Random(data)
    request = ModelInferRequest(model_name=random.choice(("echo", "text", "every", "chat", "")))
    request.id, request.model_version = random.choice(("", "7", "x" * 2000)), random.choice(("", "1", "2"))
    for _ in range(random.choice((0, 1, 1, 2, 14, 300))):
        item = request.inputs.add(name=random.choice(_NAMES), datatype=random.choice((*DATATYPES, "", "X")))
        item.shape.extend(random.choice(_SIZES) for _ in range(random.choice((0, 1, 1, 2, 3, 40))))
        if random.random() < 0.4:
            field = random.choice((*FIELDS.values(), "bytes_contents"))
            values = (b"a", b"") if field == "bytes_contents" else (0, 1)
            getattr(item.contents, field).extend(random.choice(values) for _ in range(random.randrange(5)))
        if random.random() < 0.7:
            request.raw_input_contents.append(random.randbytes(random.choice((0, 4, 5, 16, 32))))
    for _ in range(random.choice((0, 0, 1, 3))):
        request.outputs.add(name=random.choice(_NAMES)).parameters["classification"].int64_param = 3
    for _ in range(random.randrange(3)):
        kind, value = random.choice(_PARAMETERS)
        setattr(request.parameters[random.choice(_WISHES)], kind, value)
    _admit(request.SerializeToString())


_NAMES = ("x", "text", "text_input", "input_ids", "sampling_parameters", "stream", *DATATYPES, "", "é" * 50)
_SIZES = (1, 2, 4, 0, -1, 3, 2**31, 2**62, -(2**63))
_WISHES = ("timeout", "slo_ms", "priority", "max_tokens", "stop", "seed", "temperature", "n", "other")
_PARAMETERS = (
    ("int64_param", 1), ("int64_param", -(2**63)), ("double_param", float("nan")), ("double_param", 1e308),
    ("string_param", "[" * 2000), ("string_param", "1"), ("bool_param", True), ("uint64_param", 2**64 - 1),
)  # fmt: skip


@cache
def _requests() -> tuple[bytes, ...]:
    echo = ModelInferRequest(model_name="echo", id="7")
    echo.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    echo.raw_input_contents.append(bytes(16))
    echo.parameters["timeout"].int64_param = 5000
    typed = ModelInferRequest(model_name="every", model_version="1")
    for spec in EVERY_TYPE:
        item = typed.inputs.add(name=spec.name, datatype=spec.datatype, shape=[2])
        item.contents.int64_contents.extend((1, 2))
    text = ModelInferRequest(model_name="text")
    text.inputs.add(name="text", datatype="BYTES", shape=[2])
    text.raw_input_contents.append(pack_bytes((b"one", b"")))
    text.outputs.add(name="text")
    chat = ModelInferRequest(model_name="chat")
    chat.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    chat.inputs.add(name="sampling_parameters", datatype="BYTES", shape=[1])
    chat.raw_input_contents.append(pack_bytes((b"hello",)))
    chat.raw_input_contents.append(pack_bytes((b'{"temperature": 0.5, "stop": ["a"], "seed": 3}',)))
    chat.parameters["max_tokens"].int64_param = 4
    chat.parameters["stream"].bool_param = True
    return tuple(one.SerializeToString() for one in (echo, typed, text, chat))


def _rest(data: bytes) -> None:
    """The first byte chooses the model, and whether there is a header with the length of the JSON."""
    first, body = (data[0], data[1:]) if data else (0, b"")
    length = str(max(body.find(b"\n"), 0)) if first & 4 else None
    model = ("echo", "text", "every", "chat")[first & 3]
    _admission().admit(asking_of(body, length, model=model, version="").message.SerializeToString(), None)


def _rest_bodies() -> tuple[bytes, ...]:
    x = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [[1.5, 2, 3, 4]]}
    text = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "é"]}
    chat = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["hi"]}
    binary = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    bodies = (
        (b"\0", {"id": "7", "inputs": [x], "outputs": [{"name": "x", "parameters": {"binary_data": True}}]}),
        (b"\1", {"inputs": [text], "parameters": {"priority": 1, "slo_ms": 5.5}}),
        (b"\3", {"inputs": [chat], "parameters": {"max_tokens": 3, "stop": "a"}}),
    )
    head = b"\4" + json.dumps({"inputs": [binary]}).encode() + b"\n" + bytes(16)
    return (*(first + json.dumps(body).encode() for first, body in bodies), head)


def _generate(data: bytes) -> None:
    message = generate_request(data, model="chat", version="", is_streamed=bool(len(data) & 1))
    _admission().admit(message.SerializeToString(), None)


def _generate_bodies() -> tuple[bytes, ...]:
    bodies = (
        {"text_input": "hi", "max_tokens": 3, "temperature": 0.5, "parameters": {"top_k": 5}},
        {"input_ids": [1, 2], "stream": True, "sampling_parameters": '{"seed": 1}', "id": 5},
    )
    return tuple(json.dumps(body).encode() for body in bodies)


def _asked(data: bytes) -> Asked:
    raw = [(b"x-llm-d-slo-ttft-ms", data[:8].hex().encode()), (b"x-statmux-timeout-ms", b"50")]
    return Asked("id", Headers(raw=raw[1:] if len(data) % 8 else raw), data)


def _chat(data: bytes) -> None:
    if is_deeper(data, DEFAULT_LIMITS.max_json_depth):
        return
    request = parse_chat(data)
    prompt = _front().chat_prompt(
        request.model,
        template_messages(request),
        adds_generation_prompt=request.add_generation_prompt,
        variables=request.chat_template_kwargs,
    )
    _start(
        text_call(
            _asked(data), request, prompt, max_tokens=request.longest, num_logprobs=request.num_logprobs
        )
    )


def _complete(data: bytes) -> None:
    if is_deeper(data, DEFAULT_LIMITS.max_json_depth):
        return
    request = parse_completion(data)
    for prompt in prompts_of(request):
        _start(
            text_call(
                _asked(data), request, prompt, max_tokens=request.max_tokens, num_logprobs=request.logprobs
            )
        )


def _start(call: object) -> None:
    """All that `TextFront.start` does before it asks the fleet."""
    view = _front().generation(call.model)
    check_stop(call, CODEC)
    prompt_ids = call.prompt if isinstance(call.prompt, tuple) else CODEC.encode(call.prompt)
    generate_call(call, prompt_ids, "chat", view)


def _embed(data: bytes) -> None:
    if not is_deeper(data, DEFAULT_LIMITS.max_json_depth):
        pack_bytes(texts_of(parse_embedding(data)))


def _chat_bodies() -> tuple[bytes, ...]:
    said = [
        {"role": "system", "content": "be"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    bodies = (
        {
            "model": "chat",
            "messages": said,
            "max_tokens": 5,
            "temperature": 0.5,
            "stop": ["a", "b"],
            "seed": 1,
        },
        {
            "model": "chat",
            "messages": said[:1],
            "stream": True,
            "stream_options": {"include_usage": True},
            "n": 2,
        },
        {
            "model": "chat",
            "messages": said,
            "logprobs": True,
            "top_logprobs": 3,
            "chat_template_kwargs": {"a": 1},
        },
    )
    return tuple(json.dumps(body).encode() for body in bodies)


def _completion_bodies() -> tuple[bytes, ...]:
    bodies = (
        {"model": "chat", "prompt": "abc", "max_tokens": 5, "logprobs": 2, "top_p": 0.5, "priority": 1},
        {"model": "chat", "prompt": [[1, 2], [3]], "echo": True, "stop_token_ids": [5], "ignore_eos": True},
    )
    return tuple(json.dumps(body).encode() for body in bodies)


def _embedding_bodies() -> tuple[bytes, ...]:
    return (b'{"model": "embedder", "input": ["a", "b"], "encoding_format": "base64"}',)


def _template(data: bytes) -> None:
    source = data.decode("utf-8", "replace")
    template = ChatTemplate(source, tokens={"bos_token": "<s>"}, where="fuzz")
    template.prompt([{"role": "user", "content": source[:50]}, {"role": "assistant", "content": "b"}])


def _templates() -> tuple[bytes, ...]:
    return (
        TEMPLATE.encode(),
        b"{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        b"{{ m['role'] | upper }}{{ m.content | trim | tojson }}{% endfor %}"
        b"{% if ns.n > 2 %}{{ strftime_now('%d') }}{% endif %}",
        b"{%- macro say(x) -%}{{ x | default('a') }}{%- endmacro -%}{{ say(messages[0]['content'][:3]) }}"
        b"{% generation %}{{ messages[-1].content.split('b')[0] }}{% endgeneration %}",
    )


def _depth(data: bytes) -> None:
    """Beside a reader that goes byte by byte."""
    depth = deepest = 0
    is_string = is_escaped = False
    for byte in data:
        if is_string:
            is_string = is_escaped or byte != ord('"')
            is_escaped = byte == ord("\\") and not is_escaped
            continue
        is_string = byte == ord('"')
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    for limit in range(1, 5):
        assert is_deeper(data, limit) == (deepest > limit), (limit, deepest)


def _control(data: bytes) -> None:
    """A line is answered with something that is JSON."""

    async def verb(request: object) -> dict[str, object]:
        return {"n": len(str(request))}

    server = ControlServer(socket_path("fuzz"), {"status": verb, "stop": verb})
    answering = server._answer(data.replace(b"\n", b" "))
    try:
        answering.send(None)
    except StopIteration as done:
        json.dumps(done.value)
    else:
        raise AssertionError("it waits for something")


def _control_lines() -> tuple[bytes, ...]:
    return (
        b'{"verb": "status"}',
        b'{"verb": "drain", "target": "g0", "force": true}',
        b"[1]",
        b'{"verb": [1]}',
    )


def _call_as(data: bytes) -> None:
    shown, _, tenant = data.decode("latin-1").partition("\0")
    told = _TENANTS.caller({"authorization": shown, "x-statmux-tenant": tenant}.get)
    assert told is not None
