"""Probes that pre-training brings along: the loss on held-out windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.model.language_model import LanguageModel
from gristmill.model.transformer import document_segments
from gristmill.tokenizer.shards import TokenShards
from gristmill.train.cross_entropy import cross_entropy_sum
from gristmill.train.interfaces import View
from gristmill.train.objectives import NextToken


@dataclass
class HeldoutLoss:
    """Cross-entropy over the first windows of a split, in nats a token and bits a byte.

    A watch on the training, not the evaluation: windows begin in the middle of documents.
    windows: at most this many; every: in steps. token_bytes_V as in TextSource.
    """

    split: TokenShards
    context: int
    windows: int = 64
    every: int = 0
    document_mask: bool = False
    token_bytes_V: NDArray[np.int64] | None = None
    batch: int = 16
    name: str = "heldout"

    def __call__(self, view: View) -> Mapping[str, Any]:
        """`loss` and, where bytes are known, `bits_per_byte`."""
        objective = NextToken()
        device = next(view.models["policy"].parameters()).device
        count = min(self.windows, (self.split.total_tokens - 1) // self.context)
        if count == 0:
            return {}
        nats, tokens, scored = 0.0, 0, 0.0
        for start in range(0, count, self.batch):
            indices = np.arange(start, min(count, start + self.batch))
            rows_BT = self.split.gather(indices * self.context, self.context + 1)
            both_BT = torch.from_numpy(rows_BT)
            tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
            if self.document_mask:
                tensors["segments_BT"] = document_segments(both_BT[:, :-1], self.split.eot_id)
            moved = {name: tensor.to(device) for name, tensor in tensors.items()}
            nats += float(objective(moved, view.models).total.detach())
            tokens += tensors["targets_BT"].numel()
            if self.token_bytes_V is not None:
                scored += float(self.token_bytes_V[tensors["targets_BT"].numpy()].sum())
        found = {"loss": nats / tokens}
        if scored:
            found["bits_per_byte"] = nats / math.log(2) / scored
        return found


@dataclass
class PositionLoss:
    """Cross-entropy by place in the window: what a model makes of text that lies further back.

    The places are those up to 16, 32, 64 and so on; each has the mean over its own tokens, in
    nats. With `document_mask` a token sees only its own document, and a place is still the
    window's. batch: windows at a time.
    """

    split: TokenShards
    context: int
    windows: int = 64
    document_mask: bool = False
    batch: int = 8
    every: int = 0
    name: str = "positions"

    def __call__(self, view: View) -> Mapping[str, Any]:
        """The last place of each group (`16`, `32`, ... `context`) and its loss."""
        model = view.models["policy"]
        assert isinstance(model, LanguageModel)
        count = min(self.windows, (self.split.total_tokens - 1) // self.context)
        ends = [end for end in (16 << k for k in range(32)) if end < self.context]
        sums = dict.fromkeys([*ends, self.context], 0.0)
        was = model.training
        model.eval()
        with torch.no_grad():
            for start in range(0, count, self.batch):
                indices = np.arange(start, min(count, start + self.batch))
                rows_BT = torch.from_numpy(
                    self.split.gather(indices * self.context, self.context + 1)
                ).to(model.embedding_weight.device)
                tokens_BT, first = rows_BT[:, :-1], 0
                segments_BT = None
                if self.document_mask:
                    segments_BT = document_segments(tokens_BT, self.split.eot_id)
                hidden_BTD = model(tokens_BT, segments_BT=segments_BT)
                for end in sums:
                    total, _ = cross_entropy_sum(
                        hidden_BTD[:, first:end].flatten(0, 1),
                        model.head_weight,
                        rows_BT[:, first + 1 : end + 1].flatten(),
                        logit_cap=model.logit_cap,
                    )
                    sums[end] += float(total)
                    first = end
        model.train(was)
        firsts = [0, *ends]
        return {
            str(end): total / (count * (end - begin))
            for (end, total), begin in zip(sums.items(), firsts, strict=True)
            if count
        }


@dataclass
class SampleText:
    """Continuations of a few prompts, so that one sees what the model has learned so far.

    prompts: ids, none empty. Each is continued by `tokens` tokens at temperature 0.8.
    """

    prompts: Mapping[str, Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    eot_id: int
    every: int = 0
    tokens: int = 32
    seed: int = 0
    name: str = "samples"

    def __call__(self, view: View) -> Mapping[str, Any]:
        """Each prompt's text with its continuation."""
        model = view.models["policy"]
        assert isinstance(model, LanguageModel)
        sampling = Sampling(max_tokens=self.tokens, temperature=0.8, stop_ids=(self.eot_id,))
        requests = [Request(ids, sampling, self.seed) for ids in self.prompts.values()]
        made = Engine(model).generate(requests)
        return {
            text: text + self.decode([token for token in one.tokens if token != self.eot_id])
            for text, one in zip(self.prompts, made, strict=True)
        }
