"""`study tokenizers`: what it asks for, its texts, its charges, and a whole one of tiny models."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import mixture_schema
from gristmill.core.run import Run
from gristmill.model.flops import flops_per_token
from gristmill.stages.expansion import Place
from gristmill.stages.graph import run_recipe
from gristmill.stages.recipe import check_recipe, load_recipe
from gristmill.stages.settings import check_config
from gristmill.stages.stage import Execution, Output
from gristmill.stages.train_lm import TrainLmConfig, dial_of, in_tokens
from gristmill.stages.workspace import Workspace
from gristmill.study.misspelling import misspelled
from gristmill.study.sums import heldout_sums, is_held_out, training_sums
from gristmill.study.tokenizers import TokenizersConfig, expand
from gristmill.study.tokenizers_results import present_addition, present_text
from gristmill.study.tokenizers_scores import _lost, read_texts
from gristmill.tokenizer.training import train_tokenizer

_WORDS = "mill grain water wheel stone flour river miller gate sack bread winter".split()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


@pytest.fixture
def mixture(tmp_path: Path, seal: Any) -> Artifact:
    rng = random.Random(5)
    for split, count in (("train", 40), ("heldout", 6)):
        (tmp_path / "mixture" / split).mkdir(parents=True)
        rows = [
            {"id": f"{split[0]}{number:015d}", "url": f"https://a.example/{split}/{number}",
             "host": "a.example", "domain": "prose", "quality": 1.0, "group": f"{split}{number}",
             "repeats": 1, "anneal": False, "text": " ".join(rng.choices(_WORDS, k=40))}
            for number in range(count)
        ]  # fmt: skip
        pq.write_table(
            pa.Table.from_pylist(rows, schema=mixture_schema()),
            tmp_path / "mixture" / split / "part-00000.parquet",
        )
    return seal(tmp_path / "mixture", "mixture", "data.mix")


def config(**settings: Any) -> TokenizersConfig:
    found = check_config(TokenizersConfig, settings, "test")
    assert isinstance(found, TokenizersConfig)
    return found


def test_equal_bytes_equal_flops_and_equal_contexts() -> None:
    by_bytes = TrainLmConfig(byte_budget=12_000, context_bytes=384)
    plain, merged = in_tokens(by_bytes, 272, 1.0), in_tokens(by_bytes, 4096, 3.0)
    assert (plain.token_budget, plain.context) == (12_000, 384)
    assert (merged.token_budget, merged.context) == (4_000, 128)
    assert in_tokens(merged, 4096, 3.0) == merged
    by_flops = TrainLmConfig(flop_budget=1e12, size=0.6)
    for vocabulary in (512, 2048):
        found = in_tokens(by_flops, vocabulary, 3.0)
        each = flops_per_token(dial_of(found, vocabulary).model)
        assert found.token_budget is not None
        assert found.token_budget * each == pytest.approx(1e12, rel=0.01)
    with pytest.raises(ValueError, match="two budgets"):
        TrainLmConfig(byte_budget=1, token_budget=1)


def test_each_tokenizer_has_its_shards_and_its_seeds() -> None:
    asked = config(
        tokenizers={"bytes": {"kind": "bytes"}, "bpe": {"vocab_size": 512}},
        digits={"single": {"pattern": "qwen"}}, seeds=2, text_bytes=1000, sum_bytes=500,
        layers=2, width=32, sum_layers=1, sum_width=16,
    )  # fmt: skip
    found = expand(asked, Place("study.tokenizers@x", (), {"mixture": ("data.mix",)}, 7))
    blocks = dict(found.nodes)
    assert len(blocks) == len(found.nodes) == 1 + 3 * 2 + 3 * 2
    assert found.wires["models"] == [
        f"train.lm@x-{name}-seed{seed}" for name in ("bytes", "bpe") for seed in (0, 1)
    ]
    assert blocks["tokenizer.train@x-bytes"]["inputs"] == {"mixture": ["data.mix"]}
    assert blocks["tokenizer.train@x-digits-single"]["inputs"] == {
        "mixture": ["study.sums@x-digits"]
    }
    model, sums = (
        blocks[f"train.lm@x-{name}-seed1"] for name in ("bpe", "digits-single")
    )  # fmt: skip
    assert (model["byte_budget"], sums["byte_budget"], model["seed"]) == (1000, 500, 8)
    assert (model["dial"]["layers"], model["dial"]["width"], model["dial"]["tied"]) == (2, 32, True)
    assert (sums["dial"]["layers"], sums["dial"]["width"]) == (1, 16)
    assert (model["context_bytes"], sums["context_bytes"]) == (384, 96)
    equal = config(budget="flops", flops=1e10)
    assert equal.training(False)["flop_budget"] == 1e10
    assert equal.training(False)["byte_budget"] is None
    # How digits are cut is compared over equal sums, whatever text is compared over.
    assert equal.training(True)["byte_budget"] == equal.sum_bytes
    assert equal.training(True)["flop_budget"] is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": {"token_budget": 5}}, "'train.token_budget' is what the study sets"),
        ({"budget": "flops"}, "'flops' goes with budget flops"),
        ({"flops": 1e9}, "'flops' goes with budget flops"),
        ({"tokenizers": {}, "digits": {}}, "nothing to compare"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(GristmillError, match=said):
        config(**settings)


def test_no_sum_that_is_asked_was_read() -> None:
    read = set(training_sums(5000, 3, 1))
    asked = heldout_sums(50, 3, 2)
    assert list(asked) == [1, 2, 3]
    assert 4 <= len(asked[1]) <= 20 and len(asked[2]) == len(asked[3]) == 50
    for digits, pairs in asked.items():
        assert len(set(pairs)) == len(pairs)
        assert not read & set(pairs)
        assert {len(str(max(pair))) for pair in pairs} == {digits}
    share = sum(is_held_out(a, b) for a in range(200) for b in range(200)) / 40_000
    assert 0.08 < share < 0.12
    assert list(training_sums(50, 3, 1)) == list(training_sums(50, 3, 1))


def test_slips_leave_short_words_and_first_letters() -> None:
    text = "The miller opens the gate, and water turns 1234 wheels every morning. " * 20
    slipped = misspelled(text, 0.5, 3)
    assert slipped != text and slipped == misspelled(text, 0.5, 3)
    before, after = text.split(), slipped.split()
    assert len(before) == len(after)
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert all(len(a) >= 4 and a[0] == b[0] for a, b in changed)
    assert 0.3 < len(changed) / sum(len(a.strip(".,")) >= 4 for a in before) < 0.6
    assert misspelled(text, 0.0, 3) == text
    # Slips of a smaller share are among those of a larger one.
    few = [i for i, (a, b) in enumerate(zip(before, misspelled(text, 0.2, 3).split(), strict=True))
           if a != b]  # fmt: skip
    assert few and all(before[i] != after[i] for i in few)


def test_an_unknown_word_is_charged_its_spelling(mixture: Artifact) -> None:
    words = train_tokenizer(["the mill", "the mill"], 280, kind="words", unknown="token")
    ids = [found.astype(np.int64) for found in words.encode_batch(["the wheel mill"])]
    name = words.vocabulary.unknown
    assert name is not None
    lost, unknown = _lost(words, words.special_tokens[name], ["the wheel mill"], ids)
    assert unknown == 1 and lost[256] == 1
    assert {chr(byte): int(n) for byte, n in enumerate(lost[:256]) if n} == {
        " ": 1, "w": 1, "h": 1, "e": 2, "l": 1,
    }  # fmt: skip
    texts = read_texts(mixture.path, 3, 0.5, 0)
    assert len(texts.clean) == len(texts.slipped) == 3 and texts.clean != texts.slipped
    assert sum(2.0**-bits for bits in texts.byte_bits) == pytest.approx(1)
    assert texts.byte_bits[ord("e")] < texts.byte_bits[ord("q")]


def _score(bits: float, tokens: int) -> dict[str, Any]:
    text = {"bytes": 100, "tokens": tokens, "unknown": 0, "bits_per_byte": bits}
    costs = {"attention_flops_per_byte": 10.0, "flops_per_byte": 20.0, "parameters": 5}
    return {"vocabulary": 300, "trained_tokens": 2_000_000, "clean": text,
            "misspelled": {**text, "bits_per_byte": bits + 1}, "costs": costs}  # fmt: skip


def test_results_are_means_and_differences_by_seed(tmp_path: Path) -> None:
    output = Output(tmp_path, Run(tmp_path / "run"), 0, Execution())
    scores = {"bytes": [_score(2.0, 100), _score(2.2, 100)],
              "bpe": [_score(1.9, 30), _score(2.1, 30)]}  # fmt: skip
    present_text(scores, 0.2, "bytes", output)
    figure = output.figures["tokenizers.bpe.bits_per_byte"]
    assert figure.value == pytest.approx(2.0) and figure.low is not None
    assert output.figures["tokenizers.bpe.misspelled"].value == pytest.approx(3.0)
    assert [row[-1] for row in output.tables[0].rows] == [2.0, 6.67]
    assert "Equal bytes read" in output.tables[0].note
    (clean, _) = output.tables[-1].rows
    assert clean[:2] == ["bpe", "clean"] and clean[2].value == pytest.approx(-0.1)
    sums = {"asked": {"1": 4, "2": 6}, "right": {"1": 4, "2": 3}, "tokens_per_sum": 5.0,
            "vocabulary": 9, "wrong": [["1+9", "10", "11"]]}  # fmt: skip
    present_addition({"single": [sums]}, output)
    assert output.figures["tokenizers.addition.single.exact"].value == 0.7
    assert output.figures["tokenizers.addition.single.digits2"].value == 0.5


def test_a_whole_study_of_tiny_models(mixture: Artifact, tmp_path: Path) -> None:
    recipe = check_recipe(
        {
            "workspace": str(tmp_path / "w"),
            "study.tokenizers": {
                "inputs": {"mixture": str(mixture.path)},
                "tokenizers": {"bytes": {"kind": "bytes"},
                               "words": {"kind": "words", "unknown": "token", "vocab_size": 300}},
                "digits": {"single": {"pattern": "qwen", "vocab_size": 300}},
                "seeds": 1, "text_bytes": 1500, "sum_bytes": 1500, "layers": 1, "width": 32,
                "context_bytes": 32, "max_documents": 3, "sum_layers": 1, "sum_width": 32,
                "sum_context_bytes": 32,
                "sums": {"train": 300, "heldout": 3, "digits": 2},
                "train": {"precision": "fp32", "threads": 1, "probe_windows": 2},
            },
        },
        "test",
    )  # fmt: skip
    steps = run_recipe(recipe, Workspace.at(tmp_path / "w"))
    study = steps[-1].artifact
    shown = json.loads((study.path / "presentation.json").read_text(encoding="utf-8"))
    for name in ("bytes", "words"):
        bits = shown["figures"][f"tokenizers.{name}.bits_per_byte"]["value"]
        assert 0.5 < bits < 10 and math.isfinite(bits)
    assert shown["figures"]["tokenizers.bytes.bytes_per_token"]["value"] == 1
    assert shown["figures"]["tokenizers.words.bytes_per_token"]["value"] > 3
    assert 0 <= shown["figures"]["tokenizers.addition.single.exact"]["value"] <= 1
    found = study.read_json("tokenizers.json")
    assert found["text"]["words"][0]["misspelled"]["unknown"] > 0
    read = [
        step.artifact.read_json("training.json")["tokens"]
        for step in steps
        if step.node.name.startswith("train.lm@")
    ]
    # The same bytes are fewer words than bytes.
    assert read[1] < read[0] / 3


def test_the_recipe_is_sound() -> None:
    recipe = load_recipe("tokenizers")
    asked = [node.name for node in recipe.nodes if node.asked_by == "study.tokenizers"]
    assert "train.lm@bpe-4k-seed1" in asked and "train.lm@digits-free-seed0" in asked


def test_points_that_lie_on_each_other_share_a_label(tmp_path: Path) -> None:
    output = Output(tmp_path, Run(tmp_path / "run"), 0, Execution())
    scores = {name: [_score(2.0, tokens)] for name, tokens in
              (("bpe", 30), ("bytes", 100), ("characters", 100))}  # fmt: skip
    present_text(scores, 0.2, "flops", output)
    (chart,) = output.charts
    assert chart.series[0].labels == ["bytes, characters", "", "bpe"]
    assert "Equal FLOPs" in output.tables[0].note
