"""The second transformer: every trick that lowers the loss for its compute, none that others load.

Not exportable: no class of transformers, and none of llama.cpp, computes it. Each trick is an
option of its own, so that what it brings can be measured: ReLU^2 in place of SwiGLU (So et al.
2021), norms without weights, RMSNorm on queries and keys (Henry et al. 2020), outputs that start at
0 and a head of its own, embeddings that are added to the values of attention (Zhou et al. 2024),
scalars that weigh the residual stream and bring the embedding back, a soft cap on the logits (Gemma
2, 2024), attention windows (Beltagy et al. 2020) and hashed embeddings of the last 2 and 3 tokens
(Svenstrup et al. 2017; Huang et al. 2025). Most of them met in the speedruns of nanoGPT (Jordan et
al. 2024), which the family is named after. The file knows nothing of devices, training or
parallelism.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gristmill.model.attention import Visibility, attention, compute_dtype
from gristmill.model.attention_model import AttentionModel, Step, plan, positions_of_segments
from gristmill.model.cache import KVCache, LayerCache
from gristmill.model.language_model import draw
from gristmill.model.ngram_rows import ngram_rows
from gristmill.model.rotary import rotate
from gristmill.model.speedrun_config import SpeedrunConfig

_NO_TOKEN = -1


class SpeedrunCache(KVCache):
    """Keys and values, and the tokens themselves, which the next n-grams begin with."""

    def __init__(self, **shape: Any):
        super().__init__(**shape)
        self.tokens_BS = torch.full(
            (self.rows, self.capacity), _NO_TOKEN, dtype=torch.int64, device=shape.get("device")
        )

    def read(self, tokens_BT: Tensor, positions_BT: Tensor, start: int | None) -> None:
        """Remembers the new tokens; start: as in `LayerCache.write`."""
        if start is not None:
            self.tokens_BS[:, start : start + tokens_BT.shape[1]] = tokens_BT
        else:
            self.tokens_BS.scatter_(1, positions_BT, tokens_BT)

    def keep(self, rows: Tensor) -> None:
        super().keep(rows)
        self.tokens_BS = self.tokens_BS[rows]

    def join(self, other: Self) -> None:
        super().join(other)
        self.tokens_BS = torch.cat([self.tokens_BS, other.tokens_BS])

    def grow(self, capacity: int) -> None:
        more = capacity - self.capacity
        super().grow(capacity)
        if more > 0:
            self.tokens_BS = F.pad(self.tokens_BS, (0, more), value=_NO_TOKEN)


class Norm(nn.Module):
    """x / rms(x), with a gain for each channel where asked; the mean square in float32."""

    def __init__(self, width: int, config: SpeedrunConfig):
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(width)) if config.norm_weights else None

    def forward(self, x: Tensor) -> Tensor:
        x = rms_normed(x, self.eps)
        return x if self.weight is None else x * self.weight


class SpeedrunAttention(nn.Module):
    """Grouped causal attention; its values may have an embedding of their token added."""

    def __init__(self, config: SpeedrunConfig):
        super().__init__()
        self.head_dim, self.eps, self.qk_norm = config.head_dim, config.norm_eps, config.qk_norm
        q_width = config.heads * config.head_dim
        self.q_proj = nn.Linear(config.width, q_width, bias=False)
        self.k_proj = nn.Linear(config.width, config.kv_width, bias=False)
        self.v_proj = nn.Linear(config.width, config.kv_width, bias=False)
        self.o_proj = nn.Linear(q_width, config.width, bias=False)

    def forward(
        self, x_BTD: Tensor, step: Step, value_BTV: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        q_BHTD, k_BKTD = self._heads(self.q_proj(x_BTD)), self._heads(self.k_proj(x_BTD))
        v_BTV = self.v_proj(x_BTD)
        v_BKTD = self._heads(v_BTV if value_BTV is None else v_BTV + value_BTV)
        if self.qk_norm:
            q_BHTD, k_BKTD = rms_normed(q_BHTD, self.eps), rms_normed(k_BKTD, self.eps)
        q_BHTD, k_BKTD = rotate(q_BHTD, step.rotary), rotate(k_BKTD, step.rotary)
        if cache is not None:
            k_BKTD, v_BKTD = cache.write(k_BKTD, v_BKTD, step.positions_BT, step.start)
        out_BHTD = attention(q_BHTD, k_BKTD, v_BKTD, step.visibility)
        out_BTD: Tensor = self.o_proj(out_BHTD.transpose(1, 2).flatten(2))
        return out_BTD

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.view(*x_BTD.shape[:2], -1, self.head_dim).transpose(1, 2)


class SpeedrunMLP(nn.Module):
    """ReLU^2 or SwiGLU."""

    def __init__(self, config: SpeedrunConfig):
        super().__init__()
        swiglu = config.mlp == "swiglu"
        self.gate_proj = nn.Linear(config.width, config.mlp_width, bias=False) if swiglu else None
        self.up_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.down_proj = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        up_BTF = self.up_proj(x_BTD)
        if self.gate_proj is None:
            up_BTF = F.relu(up_BTF).square()
        else:
            up_BTF = F.silu(self.gate_proj(x_BTD)) * up_BTF
        out: Tensor = self.down_proj(up_BTF)
        return out


class SpeedrunBlock(nn.Module):
    """Attention and MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: SpeedrunConfig):
        super().__init__()
        self.input_layernorm = Norm(config.width, config)
        self.self_attn = SpeedrunAttention(config)
        self.post_attention_layernorm = Norm(config.width, config)
        self.mlp = SpeedrunMLP(config)
        # What is kept of the stream, and what comes back of the embedding.
        self.scalars = nn.Parameter(torch.tensor([1.0, 0.0])) if config.residual_scalars else None

    def forward(
        self,
        x_BTD: Tensor,
        first_BTD: Tensor,
        step: Step,
        value_BTV: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        if self.scalars is not None:
            x_BTD = self.scalars[0] * x_BTD + self.scalars[1] * first_BTD
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), step, value_BTV, cache)
        out: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return out


class SpeedrunTrunk(nn.Module):
    """Embeddings, blocks and last norm."""

    def __init__(self, config: SpeedrunConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        # One table each, so that what repeats under `layers` is the blocks alone.
        grams = len(config.ngrams) * config.ngram_rows
        self.embed_ngrams = nn.Embedding(grams, config.width) if grams else None
        values = config.value_embeddings * config.kv_width
        self.embed_values = nn.Embedding(config.vocab_size, values) if values else None
        self.layers = nn.ModuleList(SpeedrunBlock(config) for _ in range(config.layers))
        self.norm = Norm(config.width, config)

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: SpeedrunCache | None = None,
    ) -> Tensor:
        """Final-normed hidden states, hidden_BTD; the arguments are `Speedrun.forward`'s."""
        config = self.config
        step = plan(
            config,
            compute_dtype(self.embed_tokens.weight),
            tokens_BT,
            segments_BT,
            positions_BT,
            cache,
        )
        near = _in_window(step, config.window, tokens_BT.shape[1]) if config.window else step
        x_BTD = self.embed_tokens(tokens_BT)
        if self.embed_ngrams is not None:
            before_BTN = _before(tokens_BT, max(config.ngrams) - 1, segments_BT, step, cache)
            rows_BTG = torch.stack(
                [
                    index * config.ngram_rows
                    + ngram_rows(before_BTN[..., :length], config.vocab_size, config.ngram_rows)
                    for index, length in enumerate(config.ngrams)
                ],
                dim=-1,
            )
            # One look-up: each would give a gradient of the whole table.
            x_BTD = x_BTD + self.embed_ngrams(rows_BTG).sum(dim=2)
        x_BTD = first_BTD = rms_normed(x_BTD, config.norm_eps)
        values = self._values(tokens_BT)
        for index, block in enumerate(self.layers):
            x_BTD = block(
                x_BTD,
                first_BTD,
                near if config.windowed(index) else step,
                values[index],
                None if cache is None else cache.layer(index),
            )
        hidden_BTD: Tensor = self.norm(x_BTD)
        return hidden_BTD

    def _values(self, tokens_BT: Tensor) -> list[Tensor | None]:
        """What each layer adds to its values."""
        count = self.config.value_embeddings
        found: list[Tensor | None] = [None] * (self.config.layers - count)
        if self.embed_values is not None:
            found.extend(self.embed_values(tokens_BT).chunk(count, dim=-1))
        return found


class Speedrun(AttentionModel):
    """A `LanguageModel` with every trick; see `SpeedrunConfig`.

    An n-gram ends at the border of its segment, at the row's first token and, with positions given
    beside a cache, at position 0.
    """

    config: SpeedrunConfig
    model: SpeedrunTrunk
    cache_type = SpeedrunCache

    def __init__(self, config: SpeedrunConfig):
        super().__init__(config, SpeedrunTrunk(config))

    @property
    def logit_cap(self) -> float:
        """See `LanguageModel.logit_cap`."""
        return self.config.logit_cap

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Fills every parameter, each from its own seed.

        Embedding and head N(0, 0.02), matrices N(0, 1 / (3 fan-in)), as the first transformer's.
        With `zero_outputs` what writes into the residual stream starts at 0; embeddings of n-grams
        and values always do, so that they count only where something was learned.
        """
        zeros: tuple[str, ...] = ("embed_ngrams.weight", "embed_values.weight")
        if self.config.zero_outputs:
            zeros += ("o_proj.weight", "down_proj.weight")
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            elif name.endswith("scalars"):
                parameter.copy_(torch.tensor([1.0, 0.0]))
            elif name.endswith(zeros):
                parameter.zero_()
            else:
                outer = name.endswith(("embed_tokens.weight", "lm_head.weight"))
                std = 0.02 if outer else math.sqrt(1 / (3 * parameter.shape[1]))
                draw(parameter, std, seed, name)


def rms_normed(x: Tensor, eps: float) -> Tensor:
    """x / rms(x) over the last axis, in x's dtype; the mean square in float32."""
    scale = torch.rsqrt(x.float().square().mean(dim=-1, keepdim=True) + eps)
    return x * scale.to(x.dtype)


def _in_window(step: Step, window: int, length: int) -> Step:
    """The same step for a layer that sees `window` tokens."""
    allowed = step.visibility.allowed_BTS
    query_BT = step.positions_BT
    if step.start is None and step.visibility.causal:
        # No cache: rows are aligned, wherever positions restart.
        query_BT, keys = torch.arange(length, device=query_BT.device)[None], length
    else:
        keys = int(query_BT.max()) + 1 if allowed is None else allowed.shape[2]
    back_BTS = query_BT[:, :, None] - torch.arange(keys, device=query_BT.device)
    near_BTS = (back_BTS >= 0) & (back_BTS < window)
    if allowed is not None:
        near_BTS = near_BTS & allowed
    seen = Visibility(causal=step.visibility.causal, allowed_BTS=near_BTS)
    return Step(step.positions_BT, step.rotary, seen, step.start)


def _before(
    tokens_BT: Tensor,
    count: int,
    segments_BT: Tensor | None,
    step: Step,
    cache: SpeedrunCache | None,
) -> Tensor:
    """Each token and the `count` before it in its document, (B, T, count + 1); -1 where none is."""
    back_N = torch.arange(count + 1, device=tokens_BT.device)
    if cache is None:
        length = tokens_BT.shape[1]
        place_BT = torch.arange(length, device=tokens_BT.device)[None]
        slot_TN = (place_BT[0][:, None] - back_N).clamp(min=0)
        found_BTN = tokens_BT[:, slot_TN]
        if segments_BT is not None:
            place_BT = positions_of_segments(segments_BT)
    else:
        place_BT = step.positions_BT
        cache.read(tokens_BT, place_BT, step.start)
        rows_B11 = torch.arange(tokens_BT.shape[0], device=tokens_BT.device)[:, None, None]
        found_BTN = cache.tokens_BS[rows_B11, (place_BT[:, :, None] - back_N).clamp(min=0)]
    return torch.where(place_BT[:, :, None] >= back_N, found_BTN, _NO_TOKEN)
