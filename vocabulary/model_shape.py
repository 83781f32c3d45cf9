"""The size of a transformer: parameters of each part, for estimates of time and memory.

Legend: H hidden, F feed-forward width of one expert, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelShape:
    """num_layers equal blocks between an embedding and a head.

    has_logits: the head multiplies with a V x H table, the embedding's own where is_tied; without logits it
    is free. is_gated: the feed-forward has three matrices, not two. Of num_experts feed-forwards a token uses
    num_computed; every `expert_interval`-th layer has experts, the others one feed-forward. is_causal: a
    decoder, which may generate.
    """

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    ffn_size: int
    vocab_size: int
    num_positions: int = 0
    is_gated: bool = False
    has_logits: bool = True
    is_tied: bool = True
    is_causal: bool = True
    num_experts: int = 1
    num_computed: int = 1
    expert_interval: int = 1

    def __post_init__(self) -> None:
        assert min(self.num_layers, self.hidden_size, self.num_heads, self.head_width, self.vocab_size) > 0
        assert self.num_heads % self.num_kv_heads == 0, self
        assert 1 <= self.num_computed <= self.num_experts, self

    @property
    def query_size(self) -> int:
        return self.num_heads * self.head_width

    @property
    def kv_size(self) -> int:
        """Width of a token's keys, and of its values, in one layer."""
        return self.num_kv_heads * self.head_width

    @property
    def attention_parameters(self) -> int:
        """Of the four matrices of a layer; biases and norms, under 0.1 %, are left out everywhere."""
        return 2 * self.hidden_size * (self.query_size + self.kv_size)

    @property
    def expert_parameters(self) -> int:
        """Of one feed-forward."""
        return (3 if self.is_gated else 2) * self.hidden_size * self.ffn_size

    @property
    def embedding_parameters(self) -> int:
        return (self.vocab_size + self.num_positions) * self.hidden_size

    @property
    def head_parameters(self) -> int:
        """Of the table that logits are computed with, also where the embedding owns it."""
        return self.vocab_size * self.hidden_size if self.has_logits else 0

    @property
    def num_parameters(self) -> int:
        """Of the whole model; a tied table counts once."""
        layers = sum(self.layer_parameters(layer) for layer in range(self.num_layers))
        return layers + self.embedding_parameters + (0 if self.is_tied else self.head_parameters)

    def layer_parameters(self, layer: int) -> int:
        router = self.num_experts * self.hidden_size if self.has_experts(layer) else 0
        return self.attention_parameters + self.num_stored(layer) * self.expert_parameters + router

    def has_experts(self, layer: int) -> bool:
        return self.num_experts > 1 and layer % self.expert_interval == 0

    def num_stored(self, layer: int) -> int:
        """Feed-forwards of a layer."""
        return self.num_experts if self.has_experts(layer) else 1

    def num_used(self, layer: int) -> int:
        """Feed-forwards that compute each token."""
        return self.num_computed if self.has_experts(layer) else 1
