"""The transformer in the shape of Qwen3, so that everything which loads that loads this.

Pre-RMSNorm with weights, RMSNorm on each query and key head, rotary positions, grouped key-value
heads, SwiGLU, no biases, tied or untied head (Qwen3 technical report, 2025, section 2). Two
switches make the older shapes of it: without the head norms it is Llama, and with biases on
queries, keys and values Qwen2. Parameter names are those of Hugging Face's Qwen3ForCausalLM,
LlamaForCausalLM and Qwen2ForCausalLM: weights need no mapping. The file knows nothing of devices,
training or parallelism.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.model.attention import attention, compute_dtype
from gristmill.model.attention_model import AttentionModel, Step, check_attention_shape, plan
from gristmill.model.cache import KVCache, LayerCache
from gristmill.model.language_model import draw
from gristmill.model.rotary import RopeScaling, Yarn, rotate


@dataclass(frozen=True)
class TransformerConfig:
    """The shape. `context` is the length that it is trained for; rotary positions go beyond.

    qk_norm: RMSNorm on each query and key head. qkv_bias: biases on queries, keys and values.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    context: int
    rope_theta: float = 10_000.0
    tied: bool = True
    norm_eps: float = 1e-6
    qk_norm: bool = True
    qkv_bias: bool = False
    rope_scaling: RopeScaling | Yarn | None = None

    def __post_init__(self) -> None:
        check_attention_shape(self)


def require_transformer(
    config: object, what: str, where: str | Path | None = None
) -> TransformerConfig:
    """The configuration, if it is a transformer's; raises GristmillError for another family.

    what: the thing that needs one, for the message.
    """
    if isinstance(config, TransformerConfig):
        return config
    raise GristmillError(
        f"{what} needs a transformer of the shape that is exported, not {_family(config)}",
        where=where,
        mend="give a model of train lm with architecture: transformer",
    )


def _family(config: object) -> str:
    return "an LSTM" if type(config).__name__ == "LstmConfig" else "a speedrun"


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, in float32 inside (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x_float = x.float()
        scale = torch.rsqrt(x_float.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return self.weight.to(x.dtype) * (x_float * scale).to(x.dtype)


class Attention(nn.Module):
    """Grouped causal attention with rotary positions, its queries and keys normalised or not."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.head_dim = config.head_dim
        q_width, kv_width = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.width, q_width, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.width, kv_width, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.width, kv_width, bias=config.qkv_bias)
        self.o_proj = nn.Linear(q_width, config.width, bias=False)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None

    def forward(self, x_BTD: Tensor, step: Step, cache: LayerCache | None = None) -> Tensor:
        q_BTHD = self._heads(self.q_proj(x_BTD))
        k_BTKD = self._heads(self.k_proj(x_BTD))
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHD, k_BTKD = self.q_norm(q_BTHD), self.k_norm(k_BTKD)
        q_BHTD, k_BKTD = q_BTHD.transpose(1, 2), k_BTKD.transpose(1, 2)
        v_BKTD = self._heads(self.v_proj(x_BTD)).transpose(1, 2)
        q_BHTD, k_BKTD = rotate(q_BHTD, step.rotary), rotate(k_BKTD, step.rotary)
        if cache is not None:
            k_BKTD, v_BKTD = cache.write(k_BKTD, v_BKTD, step.positions_BT, step.start)
        out_BHTD = attention(q_BHTD, k_BKTD, v_BKTD, step.visibility)
        out_BTD: Tensor = self.o_proj(out_BHTD.transpose(1, 2).flatten(2))
        return out_BTD

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.view(*x_BTD.shape[:2], -1, self.head_dim)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.up_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.down_proj = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out


class Block(nn.Module):
    """Attention and MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, step: Step, cache: LayerCache | None = None) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), step, cache)
        out: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return out


class Trunk(nn.Module):
    """Embedding, blocks and last norm: what Qwen3ForCausalLM keeps under `model`."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Final-normed hidden states, hidden_BTD; the arguments are `Transformer.forward`'s."""
        dtype = compute_dtype(self.embed_tokens.weight)
        step = plan(self.config, dtype, tokens_BT, segments_BT, positions_BT, cache)
        x_BTD = self.embed_tokens(tokens_BT)
        for index, block in enumerate(self.layers):
            x_BTD = block(x_BTD, step, None if cache is None else cache.layer(index))
        hidden_BTD: Tensor = self.norm(x_BTD)
        return hidden_BTD


class Transformer(AttentionModel):
    """A `LanguageModel` with attention."""

    config: TransformerConfig
    model: Trunk

    def __init__(self, config: TransformerConfig):
        super().__init__(config, Trunk(config))

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Fills every parameter, each from its own seed.

        Embedding and head N(0, 0.02). Matrices N(0, 1 / (3 fan-in)): the variance of torch's own
        uniform default. The two that write into the residual stream start at 0, so that every
        block starts as the identity. Biases start at 0.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            elif name.endswith(("o_proj.weight", "down_proj.weight", ".bias")):
                parameter.zero_()
            else:
                outer = name.endswith(("embed_tokens.weight", "lm_head.weight"))
                std = 0.02 if outer else math.sqrt(1 / (3 * parameter.shape[1]))
                draw(parameter, std, seed, name)


def document_segments(tokens_BT: Tensor, eot_id: int) -> Tensor:
    """Segment ids of rows cut from a stream in which every document ends with `eot_id`.

    The end-of-text token opens the document that follows: its first token is predicted from it, at
    position 0, as it is in evaluation and generation.
    """
    return (tokens_BT == eot_id).cumsum(dim=1)
