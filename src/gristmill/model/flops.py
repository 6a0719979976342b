"""Floating-point operations per token, by the usual conventions, each named.

How parameters are counted changes a scaling law's exponent, so every count says which it is.
A multiply and an add are two operations; norms, rotations and softmax are left out (below 1%).
"""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.model.lstm import LstmConfig
from gristmill.model.speedrun_config import SpeedrunConfig
from gristmill.model.transformer import TransformerConfig

ModelConfig = TransformerConfig | LstmConfig | SpeedrunConfig


@dataclass(frozen=True)
class ParameterCount:
    """total: everything, a tied embedding once. embedding: the looked-up matrices. head: the matrix
    that makes logits (the same one where tied). blocks: everything else that multiplies.
    norms: vectors, which are gains and biases. `without_embedding` is Kaplan et al.'s N (2020),
    `matrix` is the N for which 6 N D counts a step's matrix products (blocks and head).
    """

    total: int
    embedding: int
    head: int
    blocks: int
    norms: int

    @property
    def matrix(self) -> int:
        """Parameters that multiply activations: blocks and head."""
        return self.blocks + self.head

    @property
    def without_embedding(self) -> int:
        """Blocks and norms: no embedding and no head."""
        return self.blocks + self.norms


def count_parameters(config: ModelConfig) -> ParameterCount:
    """The counts of a shape, without building it. An LSTM's blocks are its layers' matrices and
    the projection behind them, its `norms` the gates' biases."""
    if isinstance(config, LstmConfig):
        return _count_lstm(config)
    if isinstance(config, SpeedrunConfig):
        return _count_speedrun(config)
    q_width, kv_width = config.heads * config.head_dim, config.kv_heads * config.head_dim
    attention = config.width * (2 * q_width + 2 * kv_width)
    block = attention + 3 * config.width * config.mlp_width
    heads = 2 * config.head_dim if config.qk_norm else 0
    biases = q_width + 2 * kv_width if config.qkv_bias else 0
    norms = config.layers * (2 * config.width + heads + biases) + config.width
    embedding = config.vocab_size * config.width
    blocks = config.layers * block
    total = blocks + norms + embedding * (1 if config.tied else 2)
    return ParameterCount(total, embedding, embedding, blocks, norms)


def _count_speedrun(config: SpeedrunConfig) -> ParameterCount:
    """The embeddings of n-grams and values are looked up, as that of tokens is."""
    attention = config.width * 2 * (config.heads * config.head_dim + config.kv_width)
    matrices = 2 if config.mlp == "relu2" else 3
    blocks = config.layers * (attention + matrices * config.width * config.mlp_width)
    gains = (2 * config.layers + 1) * config.width if config.norm_weights else 0
    scalars = 2 * config.layers if config.residual_scalars else 0
    head = config.vocab_size * config.width
    extra = len(config.ngrams) * config.ngram_rows * config.width
    extra += config.vocab_size * config.value_embeddings * config.kv_width
    total = blocks + gains + scalars + extra + head * (1 if config.tied else 2)
    return ParameterCount(total, head + extra, head, blocks, gains + scalars)


def _count_lstm(config: LstmConfig) -> ParameterCount:
    inputs = config.width + (config.layers - 1) * config.hidden
    blocks = 4 * config.hidden * (inputs + config.layers * config.hidden)
    if config.hidden != config.width:
        blocks += config.hidden * config.width
    biases = 4 * config.hidden * config.layers
    embedding = config.vocab_size * config.width
    total = blocks + biases + embedding * (1 if config.tied else 2)
    return ParameterCount(total, embedding, embedding, blocks, biases)


def attention_flops_per_token(config: ModelConfig, keys: float) -> float:
    """Forward operations of q k^T and of the weighted sum of v, for a token seeing `keys` keys;
    none of an LSTM, whose cost does not grow with what it has read."""
    if isinstance(config, LstmConfig):
        return 0.0
    if isinstance(config, SpeedrunConfig):
        near = sum(config.windowed(layer) for layer in range(config.layers))
        layer_keys = near * min(keys, config.window) + (config.layers - near) * keys
    else:
        layer_keys = config.layers * keys
    return 4.0 * layer_keys * config.heads * config.head_dim


def flops_per_token(config: ModelConfig, length: int | None = None) -> float:
    """Forward and backward operations per trained token: 6 N + attention.

    N counts blocks and head. length: tokens per row (default: the context); a token sees
    (length + 1) / 2 keys on average, as causal attention needs no more. The backward pass costs
    twice the forward (Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B, where
    attention is counted in full).
    """
    keys = ((length or config.context) + 1) / 2
    return 6.0 * count_parameters(config).matrix + 3.0 * attention_flops_per_token(config, keys)


def forward_flops_per_token(config: ModelConfig, keys: float) -> float:
    """Operations to produce one token that sees `keys` keys: 2 N + attention."""
    return 2.0 * count_parameters(config).matrix + attention_flops_per_token(config, keys)
