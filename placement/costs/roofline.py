"""What the parts of a transformer cost on a device: a roofline over its operators (Williams et al., 2009).

An operator takes the longer of its arithmetic and its memory traffic at the speeds that the device reaches;
operators follow each other. Attention is materialised, as in workers/families: scores are written and read.
Suffix legend: T tokens, S sequence, H hidden, F feed-forward.
"""

from __future__ import annotations

from dataclasses import dataclass

from placement.costs.devices import DTYPE_BYTES, DeviceType, Link
from vocabulary.generation import StepTimes
from vocabulary.model_shape import ModelShape

# How often a matrix of attention scores goes through memory: written; read and written by scaling with the
# mask, by the softmax's exponentials and by its division; read by its maximum, its sum and the product with
# values.
SCORE_PASSES = 10
# Likewise activations of hidden width (two norms, two residual sums, products in and out) and of feed-forward
# width (activation function) in one layer.
HIDDEN_PASSES, FEED_FORWARD_PASSES = 16, 4
# Operators of one layer, of the embedding and of the head that are started one by one.
LAYER_OPERATORS, END_OPERATORS = 20, 4
# All-reduces of one layer: after attention and after the feed-forward.
LAYER_ALL_REDUCES = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """A model on `tensor` devices of a type, with numbers of a dtype, for requests of a length."""

    shape: ModelShape
    device: DeviceType
    dtype: str
    tensor: int
    sequence_length: int

    @property
    def number_bytes(self) -> int:
        return DTYPE_BYTES[self.dtype]

    @property
    def ring(self) -> Link:
        """What connects the devices of a stage."""
        is_one_host = self.tensor <= self.device.devices_per_host
        return self.device.link if is_one_host else self.device.network


@dataclass(frozen=True, slots=True)
class PartCost:
    """One part of a model, the embedding, a layer or the head, on each of its devices, for one batch."""

    seconds: float
    weight_bytes: int
    activation_bytes: int
    kv_bytes_per_token: int = 0


def part_costs(setting: Setting, batch_size: int) -> tuple[PartCost, ...]:
    """Of the embedding, every layer and the head, in this order."""
    kinds: dict[bool, PartCost] = {}
    for layer in range(setting.shape.num_layers):
        has_experts = setting.shape.has_experts(layer)
        if has_experts not in kinds:
            kinds[has_experts] = _layer(setting, batch_size, layer)
    layers = tuple(kinds[setting.shape.has_experts(layer)] for layer in range(setting.shape.num_layers))
    return (_embedding(setting, batch_size), *layers, _head(setting, batch_size))


def attention_s(setting: Setting, batch_size: int) -> float:
    """Seconds of the attention half of a layer, all-reduce included."""
    shape, tokens = setting.shape, batch_size * setting.sequence_length
    products_s = _product_s(setting, tokens, shape.attention_parameters, is_split=True)
    score_flops = 4 * batch_size * setting.sequence_length**2 * shape.query_size
    scores = batch_size * shape.num_heads * setting.sequence_length**2
    scores_s = _seconds(setting, score_flops, 0, is_split=True)
    scores_s += _seconds(setting, 0, SCORE_PASSES * scores * setting.number_bytes, is_split=True)
    return products_s + scores_s + _hidden_s(setting, tokens) / 2 + _all_reduce_s(setting, tokens)


def feed_forward_s(setting: Setting, batch_size: int, layer: int) -> float:
    """Seconds of the feed-forward half of a layer, all-reduce included."""
    shape, tokens = setting.shape, batch_size * setting.sequence_length
    used = shape.num_used(layer)
    # A token's experts are spread: with many tokens all experts are read, each by few of them.
    read = min(shape.num_stored(layer), tokens * used)
    flops = 2 * tokens * used * shape.expert_parameters
    moved_bytes = read * shape.expert_parameters * setting.number_bytes
    products_s = _seconds(setting, flops, moved_bytes, is_split=True)
    inner_bytes = FEED_FORWARD_PASSES * tokens * used * shape.ffn_size * setting.number_bytes
    inner_s = _seconds(setting, 0, inner_bytes, is_split=True)
    return products_s + inner_s + _hidden_s(setting, tokens) / 2 + _all_reduce_s(setting, tokens)


def output_bytes(setting: Setting, batch_size: int) -> int:
    """What a stage passes on to the next."""
    return batch_size * setting.sequence_length * setting.shape.hidden_size * setting.number_bytes


def result_bytes(setting: Setting, batch_size: int) -> int:
    """What the last stage gives: logits, or the hidden states."""
    shape = setting.shape
    width = shape.vocab_size if shape.has_logits else shape.hidden_size
    return batch_size * setting.sequence_length * width * setting.number_bytes


def step_times(setting: Setting, layers: range, *, has_head: bool) -> StepTimes:
    """A step of generation on a stage of these layers: weights are read once, tokens computed, keys and
    values read.

    A sum where a roofline has a maximum, so at most twice too long where arithmetic hides the traffic.
    """
    shape, device = setting.shape, setting.device
    used = sum(shape.num_used(layer) for layer in layers)
    parameters = len(layers) * shape.attention_parameters + used * shape.expert_parameters
    stored = sum(shape.layer_parameters(layer) for layer in layers)
    head = shape.head_parameters if has_head else 0
    constant_s = _seconds(setting, 0, (stored + head) * setting.number_bytes, is_split=True)
    constant_s += device.operator_s * (LAYER_OPERATORS * len(layers) + END_OPERATORS)
    token_s = _seconds(setting, 2 * (parameters + head), 0, is_split=True)
    if setting.tensor > 1:
        reduces = LAYER_ALL_REDUCES * len(layers)
        constant_s += reduces * 2 * (setting.tensor - 1) * setting.ring.latency_s
        token_bytes = shape.hidden_size * setting.number_bytes
        token_s += reduces * _ring_bytes(setting, token_bytes) / setting.ring.bytes_per_s
    kv_bytes = len(layers) * _kv_bytes(setting)
    return StepTimes(constant_s, token_s, kv_bytes / device.memory_bytes_per_s)


def _embedding(setting: Setting, batch_size: int) -> PartCost:
    shape, tokens = setting.shape, batch_size * setting.sequence_length
    hidden_bytes = tokens * shape.hidden_size * setting.number_bytes
    seconds = (
        _seconds(setting, 0, 4 * hidden_bytes, is_split=False) + END_OPERATORS * setting.device.operator_s
    )
    if setting.tensor > 1:
        seconds += _all_reduce_s(setting, tokens)
    return PartCost(seconds, _held_bytes(setting, shape.embedding_parameters), 2 * hidden_bytes)


def _layer(setting: Setting, batch_size: int, layer: int) -> PartCost:
    shape, length = setting.shape, setting.sequence_length
    seconds = attention_s(setting, batch_size) + feed_forward_s(setting, batch_size, layer)
    seconds += LAYER_OPERATORS * setting.device.operator_s
    tokens = batch_size * length
    score_bytes = 2 * batch_size * shape.num_heads * length**2 * setting.number_bytes / setting.tensor
    inner_bytes = 2 * tokens * shape.num_used(layer) * shape.ffn_size * setting.number_bytes / setting.tensor
    hidden_bytes = 4 * tokens * shape.hidden_size * setting.number_bytes
    held_bytes = round(hidden_bytes + max(score_bytes, inner_bytes))
    weight_bytes = _held_bytes(setting, shape.layer_parameters(layer))
    return PartCost(seconds, weight_bytes, held_bytes, _kv_bytes(setting))


def _head(setting: Setting, batch_size: int) -> PartCost:
    shape, tokens = setting.shape, batch_size * setting.sequence_length
    hidden_bytes = tokens * shape.hidden_size * setting.number_bytes
    if not shape.has_logits:
        return PartCost(0.0, 0, hidden_bytes)
    logit_bytes = tokens * shape.vocab_size * setting.number_bytes
    seconds = _product_s(setting, tokens, shape.head_parameters, is_split=True)
    seconds += _seconds(setting, 0, logit_bytes, is_split=True) + END_OPERATORS * setting.device.operator_s
    held_bytes = round(logit_bytes / setting.tensor) + hidden_bytes
    return PartCost(seconds, _held_bytes(setting, shape.head_parameters), held_bytes)


def _product_s(setting: Setting, tokens: int, parameters: int, *, is_split: bool) -> float:
    """A matrix product with weights: 2 operations for each parameter and token, weights read once."""
    return _seconds(setting, 2 * tokens * parameters, parameters * setting.number_bytes, is_split=is_split)


def _hidden_s(setting: Setting, tokens: int) -> float:
    """Norms and residual sums, which every device of a stage does in full."""
    moved_bytes = HIDDEN_PASSES * tokens * setting.shape.hidden_size * setting.number_bytes
    return _seconds(setting, 0, moved_bytes, is_split=False)


def _seconds(setting: Setting, flops: float, moved_bytes: float, *, is_split: bool) -> float:
    """The roofline: what takes longer, arithmetic or memory. Split work is shared by the devices."""
    device = setting.device
    alone_s = max(flops / device.flops_per_s[setting.dtype], moved_bytes / device.memory_bytes_per_s)
    num_shares = setting.tensor if is_split else 1
    num_at_once = setting.tensor if device.shares_host else 1
    return alone_s * num_at_once / num_shares


def _all_reduce_s(setting: Setting, tokens: int) -> float:
    """A ring: every device sends and receives 2 (t - 1) / t of the bytes, in 2 (t - 1) steps."""
    if setting.tensor == 1:
        return 0.0
    sent_bytes = _ring_bytes(setting, tokens * setting.shape.hidden_size * setting.number_bytes)
    return 2 * (setting.tensor - 1) * setting.ring.latency_s + sent_bytes / setting.ring.bytes_per_s


def _ring_bytes(setting: Setting, num_bytes: float) -> float:
    return 2 * (setting.tensor - 1) / setting.tensor * num_bytes


def _held_bytes(setting: Setting, parameters: int) -> int:
    return round(parameters * setting.number_bytes / setting.tensor)


def _kv_bytes(setting: Setting) -> int:
    """A token's keys and values in one layer, on each device; heads are split as far as they go."""
    heads = -(-setting.shape.num_kv_heads // setting.tensor)
    return 2 * heads * setting.shape.head_width * setting.number_bytes
