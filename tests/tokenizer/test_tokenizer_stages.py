from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file
from gristmill.core.errors import GristmillError
from gristmill.stages.stage import Execution
from gristmill.stages.tokenizer_compare import TokenizerCompareConfig, tokenizer_compare
from gristmill.stages.tokenizer_encode import TokenizerEncodeConfig, tokenizer_encode
from gristmill.stages.tokenizer_train import TokenizerTrainConfig, tokenizer_train
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.shards import TokenShards
from gristmill.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def mixture(
    write_mixture: Callable[..., Path], seal: Callable[[Path, str, str], Artifact]
) -> Artifact:
    """Invented words: these texts never change, so that outputs can be held to a hash."""
    rng = random.Random(42)
    syllables = ["gri", "st", "mill", "é", "wa", "ter", "中", "12", "n't"]
    documents = [
        " ".join("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(40))
        for _ in range(60)
    ]
    folder = write_mixture([documents[:25], documents[25:50]], [documents[50:]])
    return seal(folder, "mixture", "data.mix")


def _presentation(artifact: Artifact) -> dict[str, dict[str, dict[str, float]]]:
    return json.loads((artifact.path / "presentation.json").read_text(encoding="utf-8"))


def test_train_encode_and_compare(
    mixture: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(tmp_path / "workspace")
    trained = tokenizer_train.run(
        TokenizerTrainConfig(vocab_size=400), {"mixture": mixture}, workspace
    )
    figures = _presentation(trained)["figures"]
    assert figures["tokenizer.vocab_size"]["value"] == 400
    assert figures["tokenizer.bytes_per_token"]["value"] > 2

    tokens = tokenizer_encode.run(
        TokenizerEncodeConfig(),
        {"mixture": mixture, "tokenizer": trained},
        workspace,
        execution=Execution(workers=3),
    )
    shards = TokenShards.open(tokens.path, "heldout")
    total = figures["tokenizer.bytes_per_token"]["n"] + shards.total_documents
    assert shards.total_tokens == total
    assert Tokenizer.load(tokens.path).eot_id == shards.eot_id
    assert (tokens.path / "tokenizer_config.json").is_file()

    # A change here without a new stage version means that old artifacts are taken for new ones.
    assert hash_file(trained.path / "tokenizer.json")[:16] == "8e7ce2600ef2d54f"
    golden = [hash_file(path) for path in sorted(tokens.path.rglob("shard-*.bin"))]
    assert hashlib.sha256("".join(golden).encode()).hexdigest()[:16] == "63c41b877f2efcf6"

    plain = tokenizer_train.run(TokenizerTrainConfig(kind="bytes"), {"mixture": mixture}, workspace)
    compared = tokenizer_compare.run(
        TokenizerCompareConfig(show=60),
        {"tokenizers": [trained, plain], "mixture": mixture},
        workspace,
    )
    rows = _presentation(compared)["tables"][0]["rows"]
    assert {row[0] for row in rows} == {"prose", "code", "all"}
    assert "\x1b[30;48;5;" in capsys.readouterr().err


def test_training_reads_the_training_split_alone(
    write_mixture: Callable[..., Path], tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    folder = write_mixture([["seen seen seen"] * 5], [["zzqq zzqq"] * 50])
    mixture = seal(folder, "mixture", "data.mix")
    trained = tokenizer_train.run(
        TokenizerTrainConfig(vocab_size=400), {"mixture": mixture}, Workspace.at(tmp_path / "w")
    )
    tokenizer = Tokenizer.load(trained.path)
    assert len(tokenizer.encode(" seen")) == 1
    assert len(tokenizer.encode("zzqq")) == 4


def test_comparing_on_nothing_is_refused(mixture: Artifact, tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "workspace")
    trained = tokenizer_train.run(TokenizerTrainConfig(), {"mixture": mixture}, workspace)
    with pytest.raises(GristmillError, match="no text to compare on"):
        tokenizer_compare.run(TokenizerCompareConfig(), {"tokenizers": trained}, workspace)
    text = tmp_path / "own.txt"
    text.write_text("grist to the mill", encoding="utf-8")
    compared = tokenizer_compare.run(
        TokenizerCompareConfig(text=str(text)), {"tokenizers": trained}, workspace
    )
    assert compared.manifest.counts["tokenizers"] == 1


def test_listing_the_stages_imports_nothing_heavy() -> None:
    names = ", ".join(f"gristmill.stages.tokenizer_{n}" for n in ("train", "encode", "compare"))
    heavy = "numba pyarrow torch scipy matplotlib numpy"
    code = f"import sys, {names}; print([m for m in '{heavy}'.split() if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
