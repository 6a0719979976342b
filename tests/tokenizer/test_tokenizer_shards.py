from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gristmill.core.canonical import hash_file, read_json
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.tokenizer.corpus import encode_mixture, split_texts
from gristmill.tokenizer.shards import (
    ShardFile,
    SplitIndex,
    TokenShards,
    token_dtype,
    write_index,
)
from gristmill.tokenizer.tokenizer import Tokenizer

Mixture = Callable[..., Path]


@pytest.fixture
def encoded(
    write_mixture: Mixture, tokenizer: Tokenizer, texts: list[str], tmp_path: Path
) -> tuple[Path, Path]:
    """The mixture's folder and the tokens' folder."""
    mixture = write_mixture([texts[:30], texts[30:31], [], texts[31:75]], [texts[75:90]])
    encode_mixture(mixture, tokenizer, tmp_path / "tokens")
    return mixture, tmp_path / "tokens"


def test_the_whole_split_is_every_document_with_its_end(
    encoded: tuple[Path, Path], tokenizer: Tokenizer
) -> None:
    mixture, tokens = encoded
    shards = TokenShards.open(tokens, "heldout")
    expected: list[int] = []
    size = 0
    for text in split_texts(mixture, "heldout"):
        expected += [*tokenizer.encode(text), tokenizer.eot_id]
        size += len(text.encode())
    assert shards.tokens(0, len(shards)).tolist() == expected
    assert (shards.total_documents, shards.total_bytes) == (15, size)
    assert shards.dtype == np.dtype("<u2")


def test_documents_say_where_their_tokens_lie(
    encoded: tuple[Path, Path], tokenizer: Tokenizer
) -> None:
    mixture, tokens = encoded
    for split in ("train", "anneal", "heldout"):
        source = "heldout" if split == "heldout" else "train"
        by_text = set(split_texts(mixture, source))
        shards = TokenShards.open(tokens, split)
        rows = shards.documents.to_pylist()
        assert len(rows) == shards.total_documents > 0
        end = 0
        for row in rows:
            ids = shards.tokens(row["start"], row["tokens"])
            text = tokenizer.decode(ids[:-1])
            assert text in by_text
            assert row["bytes"] == len(text.encode())
            assert ids[-1] == tokenizer.eot_id
            assert row["start"] == end
            end += row["tokens"]
        assert end == shards.total_tokens
        assert shards.document_starts.tolist() == [row["start"] for row in rows]


def test_repeated_documents_stand_as_often_and_far_apart(encoded: tuple[Path, Path]) -> None:
    _, tokens = encoded
    ids = TokenShards.open(tokens, "train").documents["id"].to_pylist()
    # Number n of the mixture is seen 1 + (5 divides n) + (10 divides n) times.
    assert len(ids) == 75 + 15 + 8
    for number in range(75):
        expected = 1 + (number % 5 == 0) + (number % 10 == 0)
        assert ids.count(f"{number:016x}") == expected
    assert ids[:75] == [f"{number:016x}" for number in range(75)]
    assert ids[75:90] == [f"{number:016x}" for number in range(0, 75, 5)]


def test_annealing_documents_are_the_marked_ones_once(encoded: tuple[Path, Path]) -> None:
    _, tokens = encoded
    ids = TokenShards.open(tokens, "anneal").documents["id"].to_pylist()
    assert ids == [f"{number:016x}" for number in range(0, 75, 4)]


def test_windows_cross_shard_borders(encoded: tuple[Path, Path]) -> None:
    _, tokens = encoded
    shards = TokenShards.open(tokens, "train")
    assert len(shards.shards) > 3
    whole = shards.tokens(0, len(shards))
    border = shards.shards[0][1]
    for start in (0, border - 7, border - 1, border, len(shards) - 300):
        assert np.array_equal(shards.tokens(start, 300), whole[start : start + 300])
    # From before the one-document shard to behind it.
    over = shards.shards[1][1] + 20
    assert np.array_equal(shards.tokens(border - 10, over), whole[border - 10 : border - 10 + over])
    rows = shards.gather([0, border - 5], 64)
    assert rows.dtype == np.int64 and rows.shape == (2, 64)
    assert np.array_equal(rows[1], whole[border - 5 : border + 59])
    assert shards.tokens(len(shards), 0).size == 0
    for start, length in ((-1, 4), (len(shards) - 3, 4)):
        with pytest.raises(IndexError):
            shards.tokens(start, length)


def test_the_bytes_do_not_depend_on_the_workers(
    encoded: tuple[Path, Path], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    mixture, tokens = encoded
    encode_mixture(mixture, tokenizer, tmp_path / "again", workers=4)
    files = sorted(p.relative_to(tokens) for p in tokens.rglob("*") if p.is_file())
    assert len(files) > 10
    for file in files:
        assert hash_file(tokens / file) == hash_file(tmp_path / "again" / file), file


def test_the_bytes_do_not_depend_on_row_groups_and_batches(
    encoded: tuple[Path, Path],
    tokenizer: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixture, tokens = encoded
    for part in sorted(mixture.rglob("part-*.parquet")):
        pq.write_table(pq.read_table(part), part, row_group_size=7)
    monkeypatch.setattr("gristmill.tokenizer.corpus._BATCH_BYTES", 700)
    monkeypatch.setattr("gristmill.tokenizer.encoding._BATCH_BYTES", 300)
    encode_mixture(mixture, tokenizer, tmp_path / "again", workers=2)
    for file in sorted(path for path in tokens.rglob("*") if path.suffix in (".bin", ".json")):
        again = tmp_path / "again" / file.relative_to(tokens)
        assert hash_file(file) == hash_file(again), file
    for split in ("train", "anneal", "heldout"):
        before, after = (TokenShards.open(f, split) for f in (tokens, tmp_path / "again"))
        assert after.documents.equals(before.documents)


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    assert token_dtype(1 << 16) == np.dtype("<u2")
    dtype = token_dtype((1 << 16) + 1)
    index = SplitIndex(tmp_path, "train")
    with ShardFile(tmp_path / "train" / "shard-00000.bin", dtype, 65536) as shard:
        shard.append(np.array([1, 65535], dtype=np.int32))
    import pyarrow as pa

    text = ["x"]
    index.add(
        "train/shard-00000.bin",
        pa.table(
            {"id": text, "url": text, "host": text, "domain": text, "tokens": [3], "bytes": [9]}
        ),
    )
    write_index(tmp_path, 65537, 65536, {"train": index.close()})
    assert TokenShards.open(tmp_path, "train").tokens(0, 3).tolist() == [1, 65535, 65536]


def test_it_travels_into_another_process_as_a_path(encoded: tuple[Path, Path]) -> None:
    shards = TokenShards.open(encoded[1], "train")
    shards.tokens(0, 10)
    carried = pickle.dumps(shards)
    assert len(carried) < 1000
    copy = pickle.loads(carried)  # noqa: S301, what a process pool does
    assert np.array_equal(copy.tokens(5, 50), shards.tokens(5, 50))


def test_wrong_folders_and_damage_are_refused(encoded: tuple[Path, Path], tmp_path: Path) -> None:
    _, tokens = encoded
    with pytest.raises(GristmillError, match="no token shards"):
        TokenShards.open(tmp_path, "train")
    with pytest.raises(GristmillError, match="it has anneal, heldout, train"):
        TokenShards.open(tokens, "test")
    shard = tokens / read_json(tokens / "tokens.json")["splits"]["heldout"]["shards"][0]["file"]
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(DamagedArtifact, match="does not hold"):
        TokenShards.open(tokens, "heldout")


def test_a_mixture_without_training_documents_is_refused(
    write_mixture: Mixture, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(GristmillError, match="no training documents"):
        encode_mixture(write_mixture([[]], [["a"]]), tokenizer, tmp_path / "tokens")


def test_empty_splits_are_there_and_empty(
    write_mixture: Mixture, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    # The second document of the first part is not for annealing; nothing is held out.
    encode_mixture(write_mixture([["a", "b"]], [[]]), tokenizer, tmp_path / "tokens")
    heldout = TokenShards.open(tmp_path / "tokens", "heldout")
    assert len(heldout) == heldout.total_documents == heldout.documents.num_rows == 0
    assert heldout.tokens(0, 0).size == 0
