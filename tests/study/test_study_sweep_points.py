"""The rows of a sweep: one text for all scores, and how much of its own text a run saw anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gristmill.core.artifact import Artifact, Manifest, content_hash, hash_files, write_manifest
from gristmill.core.canonical import hash_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.scaling.points import Point, read_points, write_points
from gristmill.stages.stage import Inputs
from gristmill.study.sweep import SweepConfig, _points


def sealed(folder: Path, kind: str, stage: str, config: dict[str, Any]) -> Artifact:
    files = hash_files(folder, frozenset())
    write_manifest(
        folder,
        Manifest(
            kind=kind, stage=stage, stage_version=1, code_version="0", key=hash_json(str(folder)),
            content=content_hash(files), config=config, files=files, created="", seconds=0,
            cpu_seconds=0, peak_memory_bytes=0,
        ),
    )  # fmt: skip
    return Artifact.open(folder)


def inputs(folder: Path, tokens: Sequence[int], texts: Sequence[Sequence[str]]) -> Inputs:
    """A run of each number of tokens, scored on documents of these ids; 1,000 tokens of text."""
    models, scores = [], []
    for place, (count, ids) in enumerate(zip(tokens, texts, strict=True)):
        model = folder / f"model{place}"
        save_model(model, Transformer(TransformerConfig(40, 8, 1, 1, 1, 8, 8, 16)))
        write_json(model / "training.json", {"tokens": count})
        models.append(sealed(model, "model", "train.lm", {"size": 0.1}))
        score = folder / f"score{place}"
        score.mkdir()
        documents = [{"id": one, "tokens": 10, "bytes": 30} for one in ids]
        bits = {"base": {"text": [float(20 + place)] * len(ids)}}
        write_json(score / "results.json", {"documents": documents, "bits": bits})
        scores.append(sealed(score, "evaluation", "evaluate.perplexity", {}))
    (folder / "tokens").mkdir()
    write_json(folder / "tokens" / "tokens.json", {"splits": {"train": {"tokens": 1000}}})
    given = sealed(folder / "tokens", "tokens", "tokenizer.encode", {})
    return Inputs({"models": models, "scores": scores, "tokens": [given]})


def test_a_sweep_whose_runs_were_scored_on_different_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "order").mkdir()
    same = inputs(tmp_path / "same", [500, 500], [["a", "b"], ["a", "b"]])
    assert len(_points(SweepConfig(), same)) == 2
    other = inputs(tmp_path / "other", [500, 500], [["a", "b"], ["a", "c"]])
    with pytest.raises(GristmillError, match="not scored on the same text") as raised:
        _points(SweepConfig(), other)
    assert "score1" in str(raised.value.where)
    with pytest.raises(GristmillError, match="same text"):
        _points(SweepConfig(), inputs(tmp_path / "order", [5, 5], [["a", "b"], ["a"]]))


def test_unique_tokens_are_those_that_a_run_read_or_all_there_are(tmp_path: Path) -> None:
    given = inputs(tmp_path, [400, 1000, 3000], [["a"]] * 3)
    found = _points(SweepConfig(), given)
    assert [point.unique_tokens for point in found] == [400, 1000, 1000]
    assert [point.tokens for point in found] == [400, 1000, 3000]


def test_unique_tokens_pass_through_a_table(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    write_points(file, [Point(1e6, 3e6, 3.0, unique_tokens=1e6), Point(2e6, 4e6, 2.9)])
    assert [point.unique_tokens for point in read_points(file)] == [1e6, None]
    for header in ("Unique Tokens", "unique_tokens", "unique"):
        file.write_text(f"N,D,loss,{header}\n1e6,3e6,3.0,5e5\n", encoding="utf-8")
        assert read_points(file)[0].unique_tokens == 5e5


def test_every_column_of_a_point_is_written(tmp_path: Path) -> None:
    point = Point(1e6, 2e6, 3.0, 4e12, "lstm", 2, "a run", 9e5, 1.5, 5e5)
    write_points(tmp_path / "runs.csv", [point])
    assert read_points(tmp_path / "runs.csv") == [point]
