"""Classifiers over a corpus by part: what is learnt from alone is held, whole parts are not scored
again, and workers change nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema
from gristmill.data.classifier import hashed_features, train_classifier
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.local import LocalEngine
from gristmill.data.engine.map_parts import workers_worth
from gristmill.data.features import corpus_features
from gristmill.data.journal import PartJournal
from gristmill.data.scoring import score_documents

# Worker processes import it by name.
sys.path.insert(0, str(Path(__file__).parent))
from quality_scorers import Lengths

PARTS, DOCUMENTS = 4, 9


@pytest.fixture
def documents(tmp_path: Path, seal: Any) -> DocumentSet:
    for part in range(PARTS):
        rows = []
        for n in range(DOCUMENTS):
            url, text = f"http://a.example/{part}/{n}", f"mill {part} wheel {'grain ' * n}"
            rows.append({"id": document_id(url, text), "url": url, "host": "a.example",
                         "source": "test", "links": [], "text": text})  # fmt: skip
        path = tmp_path / "base" / "documents" / f"part-{part:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=document_schema()), path)
    found: Artifact = seal(tmp_path / "base", "documents", "data.extract")
    return DocumentSet.open(found)


def texts_of(documents: DocumentSet) -> list[str]:
    return [t for _, table in documents.tables(["text"]) for t in table["text"].to_pylist()]


def test_features_of_some_documents(documents: DocumentSet, tmp_path: Path) -> None:
    texts = texts_of(documents)
    assert documents.text_bytes() >= sum(len(text) for text in texts)
    wanted = np.array([i % 5 == 0 and not 9 <= i < 18 for i in range(len(texts))])
    found = corpus_features(
        LocalEngine(1), documents, wanted, bits=12, ngrams=2, folder=tmp_path / "f",
        extra=["a text of one's own"],
    )  # fmt: skip
    chosen = [texts[i] for i in np.flatnonzero(wanted)] + ["a text of one's own"]
    plain = hashed_features(chosen, bits=12, ngrams=2)
    assert np.array_equal(found.buckets, plain.buckets)
    assert np.array_equal(found.starts, plain.starts)
    assert not list((tmp_path / "f").iterdir())


def test_learning_from_rows_is_learning_from_a_copy_of_them() -> None:
    features = hashed_features([f"w{i % 7} w{i % 3} w{i}" for i in range(60)], bits=10)
    labels = np.arange(60) % 3
    rows = np.flatnonzero(np.arange(60) % 4 != 1)[::-1].copy()
    one = train_classifier(features, labels, "abc", rows=rows, bits=10, balance=True, seed=3)
    two = train_classifier(features.take(rows), labels[rows], "abc", bits=10, balance=True, seed=3)
    assert np.array_equal(one.weights, two.weights) and np.array_equal(one.bias, two.bias)


def test_scores_go_on_after_the_last_whole_part(documents: DocumentSet, tmp_path: Path) -> None:
    lengths = [len(text) for text in texts_of(documents)]
    seen = tmp_path / "seen"
    broken = Lengths(seen, stop_at="mill 2")
    with pytest.raises(GristmillError, match="part"):
        score_documents(LocalEngine(1), documents, broken, PartJournal(tmp_path), "scores")
    assert len(PartJournal(tmp_path).parts) == 2 and len(seen.read_text().splitlines()) == 2
    scorer = Lengths(seen)
    found = score_documents(LocalEngine(1), documents, scorer, PartJournal(tmp_path), "scores")
    assert found["length"].tolist() == lengths and len(seen.read_text().splitlines()) == PARTS


def test_few_texts_are_worth_one_worker() -> None:
    assert [workers_worth(mb << 20) for mb in (0, 5, 127, 128, 640)] == [1, 1, 1, 2, 10]
