import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gristmill.core.figure import Figure
from gristmill.evaluate.likelihood import score_all, score_documents
from gristmill.evaluate.ngram import KneserNey
from gristmill.evaluate.perplexity import (
    DocumentTokens,
    Perplexity,
    Unigram,
    by_domain,
    by_position,
    difference,
    ratio,
    read_documents,
)
from gristmill.infer.engine import Engine
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.shards import ShardFile, SplitIndex, token_dtype, write_index

EOT = 0
VOCABULARY = 37


@pytest.fixture(scope="module")
def model() -> Transformer:
    model = Transformer(
        TransformerConfig(
            vocab_size=VOCABULARY,
            width=32,
            layers=2,
            heads=2,
            kv_heads=1,
            head_dim=16,
            mlp_width=48,
            context=16,
        )
    )
    model.init_weights(0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def documents(lengths: tuple[int, ...] = (0, 3, 15, 16, 17, 40, 61)) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(1, VOCABULARY, n) for n in lengths]


def data(docs: list[np.ndarray], domains: list[str] | None = None) -> DocumentTokens:
    names = [str(i) for i in range(len(docs))]
    bytes_ = np.array([3 * len(d) + 1 for d in docs])
    return DocumentTokens(docs, bytes_, domains or ["d"] * len(docs), names, names, VOCABULARY, EOT)


def log_p(model: Transformer, tokens: list[int]) -> float:
    """Of the last token given the others."""
    with torch.no_grad():
        return float(
            torch.log_softmax(model.head(model(torch.tensor([tokens[:-1]])))[0, -1], -1)[tokens[-1]]
        )


@pytest.mark.parametrize("stride", [1, 5, 8, 15])
def test_windows_score_each_token_once_with_context_enough(model: Transformer, stride: int) -> None:
    docs = documents()
    scores = score_documents(Engine(model), docs, EOT, context=16, stride=stride)
    for document, score in zip(docs, scores, strict=True):
        row = [EOT, *document.tolist(), EOT]
        assert len(score) == len(row) - 1
        for place in range(1, len(row)):
            # A document that fits is read whole; else a window ends after each `stride` new tokens.
            start = 0
            if place > 16:
                window = (place - 17) // stride
                start = 17 + window * stride + stride - 17
            assert place - start >= min(place, 16 - stride + 1)
            assert score[place - 1] == pytest.approx(log_p(model, row[start : place + 1]), abs=1e-4)


def test_documents_that_fit_are_scored_alike_with_and_without_a_limit(model: Transformer) -> None:
    docs = documents((0, 3, 15))
    limited = score_documents(Engine(model), docs, EOT, context=16)
    free = score_documents(Engine(model), docs, EOT)
    for a, b in zip(limited, free, strict=True):
        assert a.tolist() == pytest.approx(b.tolist(), abs=1e-5)


def test_ngram_and_model_score_the_same_tokens(model: Transformer) -> None:
    docs = documents()
    ngram = KneserNey.train(docs, VOCABULARY, EOT, 3)
    for scores in (
        ngram.log_probabilities(docs),
        score_documents(ngram, docs, EOT),
        Unigram(docs, VOCABULARY, EOT).log_probabilities(docs),
        score_documents(Engine(model), docs, EOT, 16),
    ):
        assert [len(score) for score in scores] == [len(d) + 1 for d in docs]
    direct, through_scorer = ngram.log_probabilities(docs), score_documents(ngram, docs, EOT)
    assert np.concatenate(direct) == pytest.approx(np.concatenate(through_scorer), rel=1e-5)


def test_bytes_are_counted_once_and_the_end_apart() -> None:
    docs = [np.array([1, 2]), np.array([3])]
    scores = [np.log([0.5, 0.25, 0.125]), np.log([0.5, 0.5])]
    found = Perplexity.of(scores, data(docs))
    # 1 + 2 + 1 bits over 7 + 4 bytes, and 3 + 1 more for the two ends.
    assert found.bits_per_byte().value == pytest.approx(4 / 11)
    assert found.with_end().value == pytest.approx(8 / 11)
    assert found.token_perplexity().value == pytest.approx(2 ** (4 / 3))
    with pytest.raises(ValueError, match="3 scores for 1"):
        Perplexity.of(scores[:1], data(docs[1:]))


def test_intervals_are_those_of_resampled_documents() -> None:
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(50, 500, 400)
    bits = bytes_ * rng.normal(1.5, 0.3, 400)
    figure = ratio(bits, bytes_, seed=1)
    assert figure.low is not None and figure.high is not None
    assert figure.low < figure.value < figure.high
    assert figure.value == pytest.approx(bits.sum() / bytes_.sum())
    # The delta method: the deviation of a ratio of means.
    residual = bits - figure.value * bytes_
    deviation = residual.std(ddof=1) / math.sqrt(400) / bytes_.mean()
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * deviation, rel=0.1)
    assert ratio(bits, bytes_, seed=1) == figure != ratio(bits, bytes_, seed=2)


def test_few_documents_have_no_interval() -> None:
    assert ratio(np.array([3.0]), np.array([2]), 0) == Figure(1.5, n=1)
    assert math.isnan(ratio(np.array([]), np.array([], dtype=np.int64), 0).value)


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    rng = np.random.default_rng(3)
    docs = [np.ones(int(n), dtype=np.int64) for n in rng.integers(10, 200, 300)]
    hard = rng.normal(-2, 0.5, 300)
    first = Perplexity.of(
        [np.full(len(d) + 1, h) for d, h in zip(docs, hard, strict=True)], data(docs)
    )
    second = Perplexity.of(
        [np.full(len(d) + 1, h - 0.1) for d, h in zip(docs, hard, strict=True)], data(docs)
    )
    between, alone = difference(first, second), first.bits_per_byte()
    assert between.high is not None and between.low is not None and between.high < 0
    assert alone.high is not None and alone.low is not None
    assert between.high - between.low < 0.2 * (alone.high - alone.low)


def test_table_by_domain_and_chart_by_place() -> None:
    docs = [np.arange(1, 30), np.arange(1, 30), np.arange(1, 10)]
    scores = [np.full(len(d) + 1, -math.log(2)) for d in docs]
    found = Perplexity.of(scores, data(docs, ["b", "a", "a"]))
    table = by_domain({"m": found}, ["b", "a", "a"], seed=0, resamples=100)
    assert [row[:3] for row in table.rows] == [["a", 2, 116], ["b", 1, 88], ["all", 3, 204]]
    assert table.rows[2][3].value == pytest.approx((29 + 29 + 9) / 204)
    chart = by_position({"m": scores * 40})
    assert chart.series[0].y == pytest.approx([1.0] * len(chart.series[0].y))
    assert chart.series[0].x[0] == 1.0


def test_reads_a_split_and_each_document_once(tmp_path: Path) -> None:
    import pyarrow as pa

    docs = [
        np.array([5, 6, 7]),
        np.array([], dtype=np.int64),
        np.array([8, 9]),
        np.array([5, 6, 7]),
    ]
    with ShardFile(tmp_path / "train" / "shard-00000.bin", token_dtype(VOCABULARY), EOT) as shard:
        for document in docs:
            shard.append(document)
    index = SplitIndex(tmp_path, "train")
    index.add(
        "train/shard-00000.bin",
        pa.table(
            {
                "id": ["a", "b", "c", "a"],
                "url": ["u"] * 4,
                "host": ["h"] * 4,
                "domain": ["x", "y", "x", "x"],
                "tokens": pa.array(shard.tokens, pa.int32()),
                "bytes": pa.array([30, 0, 20, 30], pa.int64()),
            }
        ),
    )
    write_index(tmp_path, VOCABULARY, EOT, {"train": index.close()})
    whole = read_documents(tmp_path, "train")
    assert [d.tolist() for d in whole.documents] == [d.tolist() for d in docs]
    assert (whole.eot_id, whole.vocab_size, whole.tokens) == (EOT, VOCABULARY, 8)
    once = read_documents(tmp_path, "train", unique=True)
    assert once.ids == ["a", "b", "c"]
    assert once.bytes_N.tolist() == [30, 0, 20]
    assert whole.first(2).ids == ["a", "b"]


def test_order_of_sequences_is_kept(model: Transformer) -> None:
    sequences = [[EOT, *d.tolist()] for d in documents((3, 9, 1, 14, 2))]
    scores = score_all(Engine(model), sequences)
    for sequence, score in zip(sequences, scores, strict=True):
        assert score[-1] == pytest.approx(log_p(model, sequence), abs=1e-4)
