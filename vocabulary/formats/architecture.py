"""Shapes of models from `config.json` as Hugging Face writes it, and from a few numbers on a command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig, divide
from vocabulary.model_shape import ModelShape

# OPT's table of positions has two rows that are never used.
_OPT_SPARE_POSITIONS = 2
# Of Qwen3, where config.json does not say.
_QWEN3_HEAD_WIDTH = 128
# What a model described by numbers has when they do not say: the head widths of most published models below
# and from a hidden size of 4096, and GPT-2's vocabulary.
_DEFAULT_HEAD_WIDTH, _WIDE_HEAD_WIDTH, _WIDE_HIDDEN_SIZE = 64, 128, 4096
_DEFAULT_VOCAB_SIZE = 50257
# How far `parameters=` may be from what layers and hidden give.
_TOLERANCE = 0.15


def shape_of_config(config: HubConfig) -> ModelShape:
    """Of a config.json. Raises InvalidInput for a model_type that is not known, and for missing keys."""
    model_type = config.values.get("model_type")
    parse = _PARSERS.get(str(model_type))
    if parse is None:
        raise InvalidInput(
            f"the shape of model_type {model_type!r} is not known; known: {', '.join(_PARSERS)}",
            where=config.where,
            hint="describe it by numbers: --model layers=32,hidden=4096,vocab=51200",
        )
    return parse(config)


def shape_of_numbers(text: str) -> ModelShape:
    """`layers=32,hidden=4096,vocab=51200`, with `parameters=6.7e9` in place of layers or hidden.

    Also heads, kv_heads, head_width, ffn, positions, experts, chosen; gated, tied, logits, causal are yes or
    no. Raises InvalidInput for an unknown key, a number that is none, or too few of them.
    """
    values = _pairs(text)
    vocab, positions = values.get("vocab", _DEFAULT_VOCAB_SIZE), values.get("positions", 0)
    layers, hidden = _sizes(values, text, vocab)
    width = values.get("head_width") or _width(hidden, values.get("heads"), text)
    heads = values.get("heads") or hidden // width
    experts = values.get("experts", 1)
    shape = _checked(
        text,
        num_layers=layers,
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=values.get("kv_heads", heads),
        head_width=width,
        ffn_size=values.get("ffn", 4 * hidden),
        vocab_size=vocab,
        num_positions=positions,
        is_gated=bool(values.get("gated", 0)),
        is_tied=bool(values.get("tied", 1)),
        has_logits=bool(values.get("logits", 1)),
        is_causal=bool(values.get("causal", 1)),
        num_experts=experts,
        num_computed=values.get("chosen", min(2, experts)),
    )
    _check_parameters(shape, values.get("parameters"), text)
    return shape


def _bert(config: HubConfig) -> ModelShape:
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    return _checked(
        config.where,
        num_layers=config.count("num_hidden_layers"),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=heads,
        head_width=divide("hidden_size", hidden, "num_attention_heads", heads, where=config.where),
        ffn_size=config.count("intermediate_size"),
        vocab_size=config.count("vocab_size"),
        num_positions=config.count("max_position_embeddings") + config.count("type_vocab_size", 2),
        has_logits=False,
        is_causal=False,
    )


def _gpt2(config: HubConfig) -> ModelShape:
    hidden, heads = config.count("n_embd"), config.count("n_head")
    return _checked(
        config.where,
        num_layers=config.count("n_layer"),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=heads,
        head_width=divide("n_embd", hidden, "n_head", heads, where=config.where),
        ffn_size=config.count("n_inner", 4 * hidden),
        vocab_size=config.count("vocab_size"),
        num_positions=config.count("n_positions"),
        is_tied=config.flag("tie_word_embeddings", default=True),
    )


def _opt(config: HubConfig) -> ModelShape:
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    return _checked(
        config.where,
        num_layers=config.count("num_hidden_layers"),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=heads,
        head_width=divide("hidden_size", hidden, "num_attention_heads", heads, where=config.where),
        ffn_size=config.count("ffn_dim"),
        vocab_size=config.count("vocab_size"),
        num_positions=config.count("max_position_embeddings") + _OPT_SPARE_POSITIONS,
        is_tied=config.flag("tie_word_embeddings", default=True),
    )


def _llama(config: HubConfig, *, default_head_width: int | None = None) -> ModelShape:
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    return _checked(
        config.where,
        num_layers=config.count("num_hidden_layers"),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=config.count("num_key_value_heads", heads),
        head_width=config.count("head_dim", default_head_width or max(1, hidden // heads)),
        ffn_size=config.count("intermediate_size"),
        vocab_size=config.count("vocab_size"),
        is_gated=True,
        is_tied=config.flag("tie_word_embeddings", default=False),
        # Served here, every expert computes every token (workers/families/mixtral).
        num_experts=config.count("num_local_experts", 1),
        num_computed=config.count("num_local_experts", 1),
    )


def _qwen3(config: HubConfig) -> ModelShape:
    return _llama(config, default_head_width=_QWEN3_HEAD_WIDTH)


_PARSERS: Mapping[str, Callable[[HubConfig], ModelShape]] = {
    "bert": _bert,
    "gpt2": _gpt2,
    "llama": _llama,
    "mistral": _llama,
    "mixtral": _llama,
    "opt": _opt,
    "qwen2": _llama,
    "qwen3": _qwen3,
}


def _checked(where: str, **sizes: Any) -> ModelShape:
    """Raises InvalidInput where the invariants of ModelShape would be broken."""
    heads, kv_heads = sizes["num_heads"], sizes["num_kv_heads"]
    if kv_heads < 1 or heads % kv_heads:
        raise InvalidInput(f"{heads} heads do not share {kv_heads} key-value heads evenly", where=where)
    if not 1 <= sizes.get("num_computed", 1) <= sizes.get("num_experts", 1):
        raise InvalidInput(
            f"a token uses {sizes['num_computed']} of {sizes['num_experts']} experts", where=where
        )
    return ModelShape(**sizes)


_SIZES = ("parameters", "layers", "hidden", "heads", "kv_heads", "head_width", "ffn", "vocab", "positions",
          "experts", "chosen")  # fmt: skip
_FLAGS = {"gated": None, "tied": None, "logits": None, "causal": None}
_ANSWERS = {"yes": 1, "true": 1, "no": 0, "false": 0}
_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def _pairs(text: str) -> dict[str, int]:
    values: dict[str, int] = {}
    for pair in text.split(","):
        key, separator, value = (part.strip() for part in pair.partition("="))
        if not separator or key not in (*_SIZES, *_FLAGS):
            hint = f"write key=value with {', '.join((*_SIZES, *_FLAGS))}"
            raise InvalidInput(f"{pair.strip()!r} describes no model", where=f"--model {text}", hint=hint)
        values[key] = _answer(value, pair, text) if key in _FLAGS else _count(value, pair, text)
    return values


def _answer(value: str, pair: str, text: str) -> int:
    if value.lower() not in _ANSWERS:
        raise InvalidInput(f"{pair.strip()!r} is neither yes nor no", where=f"--model {text}")
    return _ANSWERS[value.lower()]


def _count(value: str, pair: str, text: str) -> int:
    """`4096`, `6.7B`, `6.7e9`: a whole number of at least 1."""
    scale = _SUFFIXES.get(value[-1:].lower(), 1.0)
    try:
        number = float(value[:-1] if scale != 1.0 else value) * scale
    except ValueError:
        number = 0.0
    if not 1 <= number < 1e18:
        hint = "write numbers like 4096, 6.7B or 6.7e9"
        raise InvalidInput(f"{pair.strip()!r} has no positive number", where=f"--model {text}", hint=hint)
    return round(number)


def _sizes(values: Mapping[str, int], text: str, vocab: int) -> tuple[int, int]:
    """Layers and hidden; one of them may follow from the number of parameters, as 12 H^2 a layer."""
    layers, hidden, parameters = (values.get(key) for key in ("layers", "hidden", "parameters"))
    if layers and hidden:
        return layers, hidden
    if parameters and hidden:
        return max(1, round((parameters - vocab * hidden) / (12 * hidden**2))), hidden
    if parameters and layers:
        # The positive root of 12 layers H^2 + vocab H = parameters, in whole heads.
        root = (-vocab + math.sqrt(vocab**2 + 48 * layers * parameters)) / (24 * layers)
        return layers, max(1, round(root / _DEFAULT_HEAD_WIDTH)) * _DEFAULT_HEAD_WIDTH
    raise InvalidInput(
        "two of parameters, layers and hidden are needed",
        where=f"--model {text}",
        hint="write like layers=32,hidden=4096 or parameters=6.7B,layers=32",
    )


def _width(hidden: int, heads: int | None, text: str) -> int:
    if heads:
        return divide("hidden", hidden, "heads", heads, where=f"--model {text}")
    return math.gcd(hidden, _WIDE_HEAD_WIDTH if hidden >= _WIDE_HIDDEN_SIZE else _DEFAULT_HEAD_WIDTH)


def _check_parameters(shape: ModelShape, parameters: int | None, text: str) -> None:
    if parameters and abs(shape.num_parameters - parameters) > _TOLERANCE * parameters:
        raise InvalidInput(
            f"these numbers give {shape.num_parameters / 1e9:.3g}B parameters, not {parameters / 1e9:.3g}B",
            where=f"--model {text}",
            hint="give ffn=, vocab=, experts= or gated=yes as the model has them, or leave parameters= out",
        )
