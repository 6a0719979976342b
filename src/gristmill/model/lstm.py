"""The LSTM language model: the other family, for what a comparison with the transformer says.

Embedding, stacked layers of long short-term memory, a projection where they are wider than the
embedding, a tied or untied head (Hochreiter and Schmidhuber 1997; as a language model Zaremba et
al. 2014 and Jozefowicz et al. 2016). Dropout, where it is asked for, keeps one mask for all tokens
of a sequence (Gal and Ghahramani 2016; Merity et al. 2017). The file knows nothing of devices,
training or parallelism.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.model.language_model import Cache, LanguageModel, draw, run_starts

# A step of a batch costs as much as this many rows before its first one. Measured forward and
# backward on one thread (AMD EPYC, torch 2.13), 8 rows of 256 tokens of 17 documents: CPU ms with
# 2 free rows 25, 46 and 154 at 128, 256 and 512 hidden, with 12 of them 27, 66 and 186, all in one
# batch 41, 76 and 204; without document borders 22, 35 and 130.
_ROWS_FREE = 2
_EMBEDDING_STD = 0.1


@dataclass(frozen=True)
class LstmConfig:
    """The shape. width: of the embedding and of what the head reads; hidden: of each layer.

    context: the length that it is trained for; its state goes on beyond. dropout: of the
    embedding, between the layers and of the output, while it trains.
    """

    vocab_size: int
    width: int
    layers: int
    hidden: int
    context: int
    tied: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "layers", "hidden", "context"):
            if getattr(self, name) < 1:
                raise GristmillError(f"{name} must be at least 1", where=f"model.{name}")
        if not 0 <= self.dropout < 1:
            raise GristmillError(
                f"dropout must be at least 0 and below 1, not {self.dropout}", where="model.dropout"
            )


class LstmCache(Cache):
    """The state of `rows` sequences in each layer; it has no size, and so the capacity is only the
    same limit as with keys and values."""

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        hidden: int,
        capacity: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(capacity)
        self.h_LBD = torch.zeros(layers, rows, hidden, device=device, dtype=dtype)
        self.c_LBD = torch.zeros(layers, rows, hidden, device=device, dtype=dtype)

    @property
    def rows(self) -> int:
        return self.h_LBD.shape[1]

    def keep(self, rows: Tensor) -> None:
        self.h_LBD, self.c_LBD = self.h_LBD[:, rows], self.c_LBD[:, rows]

    def join(self, other: Self) -> None:
        self.grow(other.capacity)
        self.length = max(self.length, other.length)
        self.h_LBD = torch.cat([self.h_LBD, other.h_LBD], dim=1)
        self.c_LBD = torch.cat([self.c_LBD, other.c_LBD], dim=1)

    def grow(self, capacity: int) -> None:
        self.capacity = max(self.capacity, capacity)


class LstmLayer(nn.Module):
    """One layer; the four gates of each matrix stand below each other: input, forget, cell, output.

    i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b), c' = f c + i g, h' = o tanh(c').
    """

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.empty(4 * hidden))

    def forward(
        self, x_BTD: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """h_BTD of all tokens, and h_BD, c_BD after the last; state: (h_BD, c_BD) before the first,
        zeros where None."""
        h_1BD, c_1BD = self._start(x_BTD, x_BTD.shape[0], state)
        out_BTD, h_1BD, c_1BD = torch.lstm(
            x_BTD, (h_1BD, c_1BD), self._weights(), True, 1, 0.0, self.training, False, True
        )
        return out_BTD, h_1BD[0], c_1BD[0]

    def forward_packed(
        self, x_PD: Tensor, sizes_T: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same of rows of falling lengths in the layout of torch's PackedSequence; the states
        are those after each row's own last token."""
        h_1BD, c_1BD = self._start(x_PD, int(sizes_T[0]), state)
        out_PD, h_1BD, c_1BD = torch.lstm(
            x_PD, sizes_T, (h_1BD, c_1BD), self._weights(), True, 1, 0.0, self.training, False
        )
        return out_PD, h_1BD[0], c_1BD[0]

    def _weights(self) -> list[Tensor]:
        # torch adds a second bias, which would only double the first one's rate.
        return [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]

    def _start(
        self, like: Tensor, rows: int, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        if state is not None:
            return state[0].to(like.dtype)[None], state[1].to(like.dtype)[None]
        zeros_1BD = like.new_zeros(1, rows, self.weight_hh.shape[1])
        return zeros_1BD, zeros_1BD


class LstmTrunk(nn.Module):
    """Embedding, layers and projection."""

    def __init__(self, config: LstmConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        inputs = [config.width] + [config.hidden] * (config.layers - 1)
        layers: list[nn.Module] = [LstmLayer(each, config.hidden) for each in inputs]
        if config.hidden != config.width:
            layers.append(nn.Linear(config.hidden, config.width, bias=False))
        # One list, so that an optimizer sees the projection as a matrix of the blocks.
        self.layers = nn.ModuleList(layers)

    def stack(self) -> list[LstmLayer]:
        """The recurrent layers, without the projection."""
        return [layer for layer in self.layers if isinstance(layer, LstmLayer)]

    def output(self, hidden_BTD: Tensor) -> Tensor:
        """What the head reads, from the last layer's hidden states."""
        last = self.layers[-1]
        out_BTD: Tensor = last(hidden_BTD) if isinstance(last, nn.Linear) else hidden_BTD
        return self.dropped(out_BTD)

    def dropped(self, x_BTD: Tensor) -> Tensor:
        """With one mask for all tokens of a row, while it trains."""
        rate = self.config.dropout
        if not self.training or rate == 0.0:
            return x_BTD
        mask_B1D = F.dropout(torch.ones_like(x_BTD[:, :1]), rate, training=True)
        return x_BTD * mask_B1D


class LstmModel(LanguageModel):
    """A `LanguageModel` with a state in place of attention."""

    config: LstmConfig
    model: LstmTrunk

    def __init__(self, config: LstmConfig):
        super().__init__(config, LstmTrunk(config))

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
        lengths_B: Tensor | None = None,
    ) -> Tensor:
        """hidden_BTD; see `LanguageModel.forward`. Positions only say how full a cache is.

        The state starts at 0 where a run of one segment id begins. An id that comes back later in
        a row begins anew, where a transformer would see its first run.
        """
        if cache is None:
            if segments_BT is None:
                return self._whole(tokens_BT)
            return self._by_runs(tokens_BT, segments_BT)
        if segments_BT is not None:
            raise GristmillError("segments and a cache cannot be combined")
        assert isinstance(cache, LstmCache), "a cache of another family"
        length = tokens_BT.shape[1] if lengths_B is None else int(lengths_B.max())
        end = cache.length + length if positions_BT is None else int(positions_BT.max()) + 1
        cache.reserve(end)
        if lengths_B is None or bool((lengths_B == tokens_BT.shape[1]).all()):
            return self._whole(tokens_BT, cache)
        return self._ragged(tokens_BT, lengths_B, cache)

    def new_cache(self, rows: int, capacity: int) -> LstmCache:
        """States of 0 for `rows` sequences of up to `capacity` tokens, beside the weights."""
        return LstmCache(
            layers=self.config.layers,
            rows=rows,
            hidden=self.config.hidden,
            capacity=capacity,
            device=self.embedding_weight.device,
            dtype=self.embedding_weight.dtype,
        )

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Fills every parameter, each from its own seed.

        Matrices N(0, 1 / (3 fan-in)), the variance of torch's own uniform default for a square
        one; embedding and head N(0, 0.1). Biases 0, but 1 at the forget gate, so that the state
        lasts before anything is learned (Jozefowicz et al. 2015, section 5).
        """
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                parameter.zero_()
                parameter[self.config.hidden : 2 * self.config.hidden] = 1.0
                continue
            outer = name.endswith(("embed_tokens.weight", "lm_head.weight"))
            std = _EMBEDDING_STD if outer else math.sqrt(1 / (3 * parameter.shape[1]))
            draw(parameter, std, seed, name)

    def _whole(self, tokens_BT: Tensor, cache: LstmCache | None = None) -> Tensor:
        """Rows of equal length, from the cache's states (which move on) or from 0."""
        return self.model.output(self._layers(tokens_BT, cache))

    def _layers(self, tokens_BT: Tensor, cache: LstmCache | None = None) -> Tensor:
        x_BTD = self.model.dropped(self.model.embed_tokens(tokens_BT))
        stack = self.model.stack()
        for index, layer in enumerate(stack):
            before = None if cache is None else (cache.h_LBD[index], cache.c_LBD[index])
            x_BTD, h_BD, c_BD = layer(x_BTD, before)
            if cache is not None:
                cache.h_LBD[index], cache.c_LBD[index] = h_BD.detach(), c_BD.detach()
            if index + 1 < len(stack):
                x_BTD = self.model.dropped(x_BTD)
        return x_BTD

    def _by_runs(self, tokens_BT: Tensor, segments_BT: Tensor) -> Tensor:
        """Each run of a segment as a sequence of its own, runs of like length in one batch.

        A state that is reset inside a row would cost a step of its own for every token; a padded
        batch of runs goes through the fused kernels, and no token sees padding on its right.
        """
        starts = np.flatnonzero(run_starts(segments_BT).flatten().cpu().numpy())
        lengths = np.diff(starts, append=tokens_BT.numel())
        flat_N, device = tokens_BT.flatten(), tokens_BT.device
        place_N = np.empty(tokens_BT.numel(), dtype=np.int64)
        parts: list[Tensor] = []
        filled = 0
        for batch in like_lengths(lengths):
            longest = int(lengths[batch].max())
            offset_T = np.arange(longest)
            real_RT = offset_T < lengths[batch][:, None]
            source_RT = np.where(real_RT, starts[batch][:, None] + offset_T, 0)
            slot_RT = filled + np.arange(source_RT.size).reshape(source_RT.shape)
            place_N[source_RT[real_RT]] = slot_RT[real_RT]
            filled += source_RT.size
            own_RT = flat_N[torch.from_numpy(source_RT).to(device)]
            parts.append(self._layers(own_RT).flatten(0, 1))
        joined = torch.cat(parts).index_select(0, torch.from_numpy(place_N).to(device))
        return self.model.output(joined.view(*tokens_BT.shape, -1))

    def _ragged(self, tokens_BT: Tensor, lengths_B: Tensor, cache: LstmCache) -> Tensor:
        """Rows padded on the right: each state is the one after the row's own last token."""
        order_B = torch.argsort(lengths_B, descending=True, stable=True)
        length_B = lengths_B[order_B]
        if int(length_B[-1]) < 1:
            raise GristmillError("a row without a token cannot be read into a cache")
        real_TB = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[:, None] < length_B
        sizes_T = real_TB.sum(dim=1)
        sizes_T = sizes_T[sizes_T > 0].cpu()
        x_PD = self.model.embed_tokens(tokens_BT[order_B].t()[real_TB])
        for index, layer in enumerate(self.model.stack()):
            before = (cache.h_LBD[index][order_B], cache.c_LBD[index][order_B])
            x_PD, h_BD, c_BD = layer.forward_packed(x_PD, sizes_T, before)
            cache.h_LBD[index, order_B] = h_BD.detach()
            cache.c_LBD[index, order_B] = c_BD.detach()
        hidden_TBD = x_PD.new_zeros(*real_TB.shape, x_PD.shape[1])
        hidden_TBD[real_TB] = x_PD
        hidden_BTD = torch.empty_like(hidden_TBD.transpose(0, 1))
        hidden_BTD[order_B] = hidden_TBD.transpose(0, 1)
        return self.model.output(hidden_BTD)


def like_lengths(lengths: NDArray[np.int64] | Sequence[int]) -> list[NDArray[np.int64]]:
    """Indices of sequences in batches, the longest first, so that padding and steps cost least.

    The cost of a batch is its longest length times (rows + a constant): the split with the least
    sum, exactly, by dynamic programming over the sorted lengths.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    falling, count = sizes[order].astype(np.float64), len(sizes)
    # best[j]: the least cost of the first j; a batch from i to j costs falling[i] * (j - i + free).
    best, cut = np.zeros(count + 1), np.zeros(count + 1, dtype=np.int64)
    for stop in range(1, count + 1):
        first = np.arange(stop)
        costs = best[:stop] + falling[:stop] * (stop - first + _ROWS_FREE)
        cut[stop] = int(costs.argmin())
        best[stop] = costs[cut[stop]]
    batches: list[NDArray[np.int64]] = []
    stop = count
    while stop > 0:
        batches.append(order[cut[stop] : stop])
        stop = int(cut[stop])
    return batches[::-1]
