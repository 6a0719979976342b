"""One held-out text for models of different mixtures: what every one is scored on, and none read.

A comparison of data needs the same documents under every model. They are one mixture's held-out
documents, without those that any of the compared mixtures trains on: by id, by near-duplicate
group, or as a text most of whose word 8-grams stand in a training document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.errors import GristmillError
from gristmill.data.dedup.minhash import shingle_sets
from gristmill.data.postings import Postings
from gristmill.evaluate.perplexity import DocumentTokens
from gristmill.tokenizer.tokenizer import Tokenizer

_NGRAM = 8
# As `data mix`, which keeps such pages out of its own training split.
_LEAK_SHARE = 0.5


@dataclass(frozen=True)
class SharedText:
    """Held-out documents (id, url, domain, group, text) that none of the mixtures trains on."""

    documents: pa.Table
    left_out: int
    """Held-out documents that one of them does train on."""

    @classmethod
    def read(cls, heldout_of: Path, trained: Sequence[Path]) -> SharedText:
        """The held-out split of the mixture `heldout_of`, less what any of `trained` reads.

        Raises GristmillError where half of it or more would go: then the mixtures were not split
        alike, and what is left is no sample of the text.
        """
        columns = ["id", "url", "domain", "group", "text"]
        parts = list(_parts(heldout_of, "heldout", columns))
        documents = pa.concat_tables(parts).combine_chunks()
        seen = np.zeros(documents.num_rows, np.bool_)
        for mixture in trained:
            seen |= _seen(documents, mixture)
        left_out = int(seen.sum())
        if 2 * left_out >= documents.num_rows:
            raise GristmillError(
                f"{left_out} of {documents.num_rows} held-out documents are trained on by a model "
                "that is compared here",
                where=heldout_of,
                mend="compare mixtures of the same seed, whose held-out documents agree",
            )
        return cls(documents.filter(pa.array(~seen)), left_out)

    def encoded(self, tokenizer: Tokenizer) -> DocumentTokens:
        """The documents by a model's own tokenizer; their bytes are the same for every one."""
        texts = self.documents["text"].to_pylist()
        return DocumentTokens(
            [ids.astype(np.int64) for ids in tokenizer.encode_batch(texts)],
            np.array([len(text.encode("utf-8")) for text in texts], dtype=np.int64),
            self.documents["domain"].to_pylist(),
            self.documents["id"].to_pylist(),
            self.documents["url"].to_pylist(),
            tokenizer.vocab_size,
            tokenizer.eot_id,
        )


def _seen(documents: pa.Table, mixture: Path) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the documents the mixture's training split holds."""
    ids, groups = documents["id"].to_pylist(), documents["group"].to_pylist()
    index = Postings.build([shingle_sets(documents["text"], _NGRAM)])
    seen = np.zeros(len(ids), np.bool_)
    for part in _parts(mixture, "train", ["id", "group", "text"]):
        own_ids, own_groups = set(part["id"].to_pylist()), set(part["group"].to_pylist())
        seen |= np.array([i in own_ids for i in ids], np.bool_)
        seen |= np.array([group in own_groups for group in groups], np.bool_)
        _, owner, shared = index.shared(*shingle_sets(part["text"], _NGRAM))
        seen[owner[shared >= _LEAK_SHARE * index.sizes[owner]]] = True
    return seen


def _parts(mixture: Path, split: str, columns: list[str]) -> Iterator[pa.Table]:
    files = sorted((mixture / split).glob("part-*.parquet"))
    if not files:
        raise GristmillError(f"the mixture has no {split} split", where=mixture)
    for file in files:
        yield pq.read_table(file, columns=columns)
