"""A tiny token folder, a tiny model, and a run of them, shared by the trainer's tests."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.records import mixture_schema
from gristmill.core.run import Run
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.corpus import encode_mixture
from gristmill.tokenizer.shards import TokenShards, write_index
from gristmill.tokenizer.training import train_tokenizer
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.schedules import Schedule
from gristmill.train.starting import start_weights
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import Settings, Trainer

VOCAB, EOT, CONTEXT = 61, 0, 16
WORDS = ["mouse", "cheese", "river", "city", "king", "book", "water", "plant", "war", "song"]
SHAPE = TransformerConfig(
    VOCAB, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, mlp_width=64, context=CONTEXT,
    tied=False,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet_and_fixed_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def write_tokens(folder: Path, documents: int = 60, seed: int = 0) -> Path:
    """A folder of token shards: documents in which each token tends to follow the last by 1."""
    rng = np.random.default_rng(seed)
    splits: dict[str, dict[str, Any]] = {}
    for split, count in (("train", documents), ("anneal", documents // 3), ("heldout", 10)):
        texts = []
        for _ in range(count):
            length = int(rng.integers(3, 60))  # some are longer than the context
            steps = rng.integers(1, 4, size=length)
            texts.append(np.append(1 + np.cumsum(steps) % (VOCAB - 1), EOT))
        ids = np.concatenate(texts).astype("<u2")
        (folder / split).mkdir(parents=True)
        shards = []
        for number, part in enumerate(np.array_split(ids, 3)):
            name = f"{split}/shard-{number:05d}.bin"
            part.tofile(folder / name)
            shards.append({"file": name, "tokens": len(part)})
        size = len(ids) - count
        splits[split] = {"shards": shards, "tokens": len(ids), "documents": count, "bytes": size}
    write_index(folder, VOCAB, EOT, splits)
    return folder


@pytest.fixture(scope="session")
def tokens_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="session")
def tokens(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> Artifact:
    """Documents of ten words, encoded; every fifth is annealed on."""
    folder = tmp_path_factory.mktemp("chain")
    rng = random.Random(0)
    rows = [
        {
            "id": f"{number:016x}", "url": f"https://a.example/{number}", "host": "a.example",
            "domain": "d", "group": str(number), "repeats": 1, "anneal": number % 5 == 0,
            "text": " ".join(rng.choices(WORDS, k=rng.randint(5, 60))) + ".",
        }
        for number in range(220)
    ]  # fmt: skip
    for split, part in (("train", rows[:200]), ("heldout", rows[200:])):
        (folder / "mixture" / split).mkdir(parents=True)
        table = pa.Table.from_pylist(part, schema=mixture_schema())
        pq.write_table(table, folder / "mixture" / split / "part-00000.parquet")
    tokenizer = train_tokenizer((str(row["text"]) for row in rows), 300)
    tokenizer.save(folder / "tokens")
    encode_mixture(folder / "mixture", tokenizer, folder / "tokens")
    return seal(folder / "tokens", "tokens", "tokenizer.encode")


def make_trainer(folder: Path, run: Path, steps: int = 40, **changes: Any) -> Trainer:
    """A trainer of the tiny model; `changes` replace Settings or the parts of the same name."""
    os.environ["GRISTMILL_PROGRESS"] = "off"
    torch.set_num_threads(1)
    run.mkdir(parents=True, exist_ok=True)
    model = changes.pop("model", None)
    if model is None:
        model = Transformer(SHAPE)
        start_weights(model, 7)
    splits = {name: TokenShards.open(folder, name) for name in ("train", "anneal")}
    phases = [Phase(steps - steps // 4, {"train": 1.0})]
    phases.append(Phase(steps // 4, {"train": 0.5, "anneal": 0.5}))
    source = changes.pop("source", None) or TextSource(
        splits,
        phases,
        context=CONTEXT,
        batch=8,
        seed=3,
        document_mask=True,
        token_bytes_V=np.array([0] + [1] * (VOCAB - 1)),
    )
    parts = {
        "objective": changes.pop("objective", NextToken()),
        "probes": changes.pop("probes", ()),
        "say": changes.pop("say", lambda _: None),
    }
    rates = OptimizerSettings(matrix_lr=0.02, embedding_lr=0.01, head_lr=0.01, other_lr=0.01)
    settings = {"seed": 5, "precision": "bf16", "checkpoint_seconds": 1e9, **changes}
    return Trainer(
        Run(run),
        models={"policy": model},
        optimizers={"policy": Optimizer(model, rates)},
        source=source,
        schedule=Schedule("wsd", steps, warmup=2, decay=steps // 4),
        settings=Settings(**settings),
        **parts,
    )


@pytest.fixture
def trainer(tokens_folder: Path) -> Callable[..., Trainer]:
    def make(run: Path, **changes: Any) -> Trainer:
        return make_trainer(tokens_folder, run, **changes)

    return make


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The policy's weights, copied."""
    model = trainer._models["policy"]
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether all bits agree."""
    return set(first) == set(second) and all(torch.equal(first[n], second[n]) for n in first)
