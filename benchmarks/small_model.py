"""A small transformer trained by the one trainer, for benchmarks that need some of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.core.run import Run
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.shards import TokenShards, write_index
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.schedules import Schedule
from gristmill.train.starting import start_weights
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import Settings, Trainer


def write_tokens(folder: Path, texts: Sequence[str], tokenizer: Tokenizer) -> int:
    """One shard of all texts in `folder`; how many tokens it holds."""
    return write_ids(folder, tokenizer.encode_batch(list(texts)), tokenizer)


def write_ids(
    folder: Path, documents: Sequence[npt.NDArray[np.int32]], tokenizer: Tokenizer
) -> int:
    """The same of texts that are ids already."""
    ids = np.concatenate([np.append(one, tokenizer.eot_id) for one in documents]).astype("<u2")
    (folder / "train").mkdir(parents=True)
    ids.tofile(folder / "train" / "shard-00000.bin")
    split = {
        "shards": [{"file": "train/shard-00000.bin", "tokens": len(ids)}],
        "tokens": len(ids),
        "documents": len(documents),
        "bytes": sum(len(tokenizer.decode_bytes(one)) for one in documents),
    }
    write_index(folder, tokenizer.vocab_size, tokenizer.eot_id, {"train": split})
    return len(ids)


def train_small(
    run: Path,
    tokens: Path,
    shape: TransformerConfig,
    rates: OptimizerSettings,
    schedule: Schedule,
    *,
    steps: int,
    batch: int,
    seed: int,
) -> Transformer:
    """A transformer from nothing on the shards in `tokens`; `run`: a folder for its checkpoints."""
    run.mkdir(parents=True)
    model = Transformer(shape)
    start_weights(model, seed)
    source = TextSource(
        {"train": TokenShards.open(tokens, "train")},
        [Phase(steps, {"train": 1.0})],
        context=shape.context,
        batch=batch,
        seed=seed,
        document_mask=True,
    )
    Trainer(
        Run(run),
        models={"policy": model},
        optimizers={"policy": Optimizer(model, rates)},
        source=source,
        schedule=schedule,
        settings=Settings(seed=seed, precision="fp32", checkpoint_seconds=1e9),
        objective=NextToken(),
        probes=(),
        say=lambda _: None,
    ).fit()
    return model.eval()
