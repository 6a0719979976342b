"""`train lm` from a tokens artifact to a model folder, twice, and stopped in between."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.core.artifact import Artifact, Manifest, content_hash, hash_files, write_manifest
from gristmill.core.canonical import hash_file, hash_json
from gristmill.core.errors import Retryable
from gristmill.core.records import mixture_schema
from gristmill.model.weights import load_model
from gristmill.stages.train_lm import Shape, TrainLmConfig, train_lm
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.corpus import encode_mixture
from gristmill.tokenizer.training import train_tokenizer
from gristmill.train import text
from gristmill.train.metrics import read_metrics

WORDS = ["mouse", "cheese", "river", "city", "king", "book", "water", "plant", "war", "song"]
CONFIG = TrainLmConfig(
    token_budget=8 * 32 * 24,
    context=32,
    dial=Shape(layers=2, width=32, heads=2, kv_heads=1, head_dim=16, mlp_width=64, batch_rows=8),
    probe_windows=4,
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
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
    files = hash_files(folder / "tokens", frozenset())
    manifest: dict[str, Any] = {
        "kind": "tokens", "stage": "tokenizer.encode", "stage_version": 1, "code_version": "0",
        "key": hash_json("tokens"), "content": content_hash(files), "config": {}, "files": files,
        "created": "", "seconds": 0, "cpu_seconds": 0, "peak_memory_bytes": 0,
    }  # fmt: skip
    write_manifest(folder / "tokens", Manifest(**manifest))
    return Artifact.open(folder / "tokens")


def test_it_trains_a_model_that_loads(tokens: Artifact, tmp_path: Path) -> None:
    made = train_lm.run(CONFIG, {"tokens": tokens}, Workspace.at(tmp_path))
    records = read_metrics(made.file("metrics.jsonl"))
    assert len(records) == 24
    assert records[-1]["heldout.bits_per_byte"] < records[2]["heldout.bits_per_byte"]
    assert made.read_json("training.json")["samples"]["anneal"] == round(0.15 * 24) * 8 // 2
    assert made.manifest.files["metrics.jsonl"].volatile
    model = load_model(made.path)
    assert model.num_parameters() == made.manifest.counts["parameters"]
    assert not model.config.tied and model.config.context == 32
    assert all(torch.isfinite(p).all() for p in model.parameters())
    shown = made.read_json("presentation.json")
    assert shown["figures"]["train.tokens"]["value"] == CONFIG.token_budget
    assert [s["name"] for s in shown["charts"][0]["series"]] == ["training", "held out"]


def test_a_stopped_stage_goes_on_to_the_same_weights(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train_lm.run(CONFIG, {"tokens": tokens}, Workspace.at(tmp_path / "straight"))
    real = text.TextSource.next
    drawn = 0

    def interrupted(source: text.TextSource, moment: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == 9:
            signal.raise_signal(signal.SIGINT)
        return real(source, moment)

    monkeypatch.setattr(text.TextSource, "next", interrupted)
    workspace = Workspace.at(tmp_path / "cut")
    with pytest.raises(Retryable, match="SIGINT stopped the training after step 9 of 24"):
        train_lm.run(CONFIG, {"tokens": tokens}, workspace)
    assert workspace.artifacts() == []
    resumed = train_lm.run(CONFIG, {"tokens": tokens}, workspace)
    assert drawn == 24
    name = "model.safetensors"
    assert hash_file(straight.file(name)) == hash_file(resumed.file(name))
    assert straight.content == resumed.content


def test_the_config_explains_itself() -> None:
    lines = TrainLmConfig(token_budget=2_400_000).explain()
    assert any(line.startswith("width = 192: ") for line in lines)
