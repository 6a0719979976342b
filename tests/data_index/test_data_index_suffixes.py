"""The suffix array against a naive one, and what it finds against a search through the text."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.core.canonical import hash_file
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.data.spans import find_spans
from gristmill.data.suffix_index import COUNTS, SUFFIXES, SuffixIndex, build
from gristmill.tokenizer.shards import ShardFile, SplitIndex, token_dtype, write_index

Documents = list[list[int]]


def write_tokens(
    folder: Path, documents: Documents, vocab_size: int, eot: int, per_shard: int = 3
) -> Path:
    split = SplitIndex(folder, "train")
    for number, first in enumerate(range(0, len(documents), per_shard)):
        name = f"train/shard-{number:05d}.bin"
        some = documents[first : first + per_shard]
        with ShardFile(folder / name, token_dtype(vocab_size), eot) as shard:
            for document in some:
                shard.append(np.array(document, dtype=np.int64))
        texts = [f"{first + i:016x}" for i in range(len(some))]
        table = pa.table(
            {
                "id": texts, "url": texts, "host": texts, "domain": texts,
                "tokens": shard.tokens, "bytes": shard.tokens,
            }
        )  # fmt: skip
        split.add(name, table)
    write_index(folder, vocab_size, eot, {"train": split.close()})
    return folder


def naive(documents: Documents, eot: int) -> list[int]:
    """Every place but the ends of text, by the tokens up to its document's end, then by place."""
    suffixes, at = [], 0
    for document in documents:
        suffixes += [(document[i:], at + i) for i in range(len(document))]
        at += len(document) + 1
    return [place for _, place in sorted(suffixes)]


def built(folder: Path, documents: Documents, vocab: int, eot: int, stretch: int) -> SuffixIndex:
    tokens = write_tokens(folder / "tokens", documents, vocab, eot)
    build(tokens, folder / "index", stretch=stretch)
    return SuffixIndex.open(folder / "index", tokens)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[Documents, int, int]:
    """Documents over few or many ids, with repeats and copies; the end of text is any id."""
    vocab = draw(st.sampled_from([2, 3, 5, 4096, 1 << 16, 150_000]))
    eot = draw(st.integers(0, vocab - 1))
    few = draw(st.integers(1, 4))
    ids = st.sampled_from(
        [i for i in [*range(few), vocab - 1, vocab // 2] if i != eot and i < vocab]
    )
    documents = draw(st.lists(st.lists(ids, max_size=40), min_size=1, max_size=9))
    copies = draw(st.lists(st.sampled_from(documents), max_size=5))
    return [*documents, *copies], vocab, eot


@given(corpora(), st.sampled_from([1, 2, 7, 64, 1 << 20]))
@settings(max_examples=40, deadline=None)
def test_the_array_is_the_naive_one(
    tmp_path_factory: pytest.TempPathFactory, corpus: tuple[Documents, int, int], stretch: int
) -> None:
    documents, vocab, eot = corpus
    index = built(tmp_path_factory.mktemp("c"), documents, vocab, eot, stretch)
    assert index.suffixes.tolist() == naive(documents, eot)
    expected = np.bincount([*chain(*documents), *[eot] * len(documents)], minlength=vocab)
    assert index.counts.tolist() == expected.tolist()


@given(corpora(), st.data())
@settings(max_examples=40, deadline=None)
def test_spans_are_those_of_a_search_by_hand(
    tmp_path_factory: pytest.TempPathFactory,
    corpus: tuple[Documents, int, int],
    data: st.DataObject,
) -> None:
    documents, vocab, eot = corpus
    index = built(tmp_path_factory.mktemp("c"), documents, vocab, eot, 16)
    known = sorted({*chain(*documents), eot, 0, vocab - 1})
    query = data.draw(st.lists(st.sampled_from(known), max_size=30))
    places = {
        tuple(document[i:j])
        for document in documents
        for i in range(len(document))
        for j in range(i + 1, len(document) + 1)
    }
    runs = [
        (i, j)
        for i in range(len(query))
        for j in range(i + 1, len(query) + 1)
        if tuple(query[i:j]) in places
    ]
    maximal = [
        (i, j) for i, j in runs if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in runs)
    ]
    found = find_spans(index, query)
    assert [(span.start, span.end) for span in found] == maximal
    for span in found:
        piece = query[span.start : span.end]
        size = len(piece)
        count = sum(
            document[i : i + size] == piece
            for document in documents
            for i in range(len(document) - size + 1)
        )
        assert span.count == count


def test_no_span_runs_over_an_end_of_text(tmp_path: Path) -> None:
    index = built(tmp_path, [[1, 2, 3], [4, 5, 6], [1, 2, 3]], 10, 9, 1 << 20)
    assert index.longest([2, 3, 4, 5]).tolist() == [2, 1, 2, 1]
    assert index.longest([3, 9, 4]).tolist() == [1, 0, 1]
    low, high = index.find([3, 9, 4])
    assert low == high


@pytest.mark.parametrize("documents", [[[]], [[], []], [[5]], [[5], []]])
def test_almost_nothing_is_indexed_too(tmp_path: Path, documents: Documents) -> None:
    index = built(tmp_path, documents, 10, 0, 1 << 20)
    assert index.suffixes.tolist() == naive(documents, 0)
    assert index.longest([5, 5]).tolist() == ([1, 1] if [5] in documents else [0, 0])
    assert index.longest([]).tolist() == []


def test_one_long_repetition(tmp_path: Path) -> None:
    documents = [[1] * 3000, [1] * 2999 + [2], [1, 2] * 1000]
    index = built(tmp_path, documents, 4, 3, 512)
    assert index.suffixes.tolist() == naive(documents, 3)
    assert index.longest([1] * 5000)[0] == 3000


def test_the_bytes_do_not_depend_on_the_stretch(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    documents = [rng.integers(0, 6, rng.integers(1, 60)).tolist() for _ in range(60)]
    tokens = write_tokens(tmp_path / "tokens", documents, 8, 7)
    hashes = set()
    for number, stretch in enumerate([5, 100, 1 << 22]):
        build(tokens, tmp_path / str(number), stretch=stretch)
        hashes.add(tuple(hash_file(tmp_path / str(number) / name) for name in (SUFFIXES, COUNTS)))
    assert len(hashes) == 1
    entries = sum(map(len, documents))
    assert (tmp_path / "0" / SUFFIXES).stat().st_size == 4 * entries


def test_a_damaged_or_foreign_index_is_refused(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", [[1, 2, 3]], 8, 7)
    other = write_tokens(tmp_path / "other", [[1, 2, 3, 4]], 8, 7)
    build(tokens, tmp_path / "index")
    with pytest.raises(GristmillError, match="over other tokens"):
        SuffixIndex.open(tmp_path / "index", other)
    path = tmp_path / "index" / SUFFIXES
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedArtifact):
        SuffixIndex.open(tmp_path / "index", tokens)
    with pytest.raises(GristmillError, match="no index here"):
        SuffixIndex.open(tmp_path, tokens)
