"""The peers of the deduplication benchmark: MinHash from text to signatures.

    python dedup_peer.py datatrove|datatrove_split|rensa|gaoya DOCUMENTS STRIDE BANDS ROWS WORDS

DOCUMENTS: JSON lines, a text each; every STRIDE-th of them is signed, BANDS * ROWS numbers from its
shingles of WORDS words. Each peer in the fastest way that it offers from Python, one thread:

datatrove: its signature step's shingles and signatures, words by its English tokenizer (spaCy),
nothing written. datatrove_split: the same with `str.split` in the tokenizer's place.
rensa: R-MinHash, a document at a time, from shingles joined in Python of `str.split` words.
gaoya: a document's tokens and signature by its index's own word n-grams, nothing inserted.

The last line: {"seconds": CPU seconds, "documents"}.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any


def datatrove(bands: int, rows: int, words: int, split: bool) -> Callable[[str], Any]:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    config = MinhashConfig(n_grams=words, num_buckets=bands, hashes_per_bucket=rows)
    step = MinhashDedupSignature(tempfile.gettempdir(), config=config)
    if split:
        step.word_tokenizer.word_tokenize = str.split
    return lambda text: step.get_signature(step.get_shingles(text))


def rensa(bands: int, rows: int, words: int) -> Callable[[str], Any]:
    from rensa import RMinHash

    def sign(text: str) -> list[int]:
        found = text.lower().split()
        shingles = list(map(" ".join, zip(*(found[k:] for k in range(words)), strict=False)))
        signature = RMinHash(bands * rows, 1)
        signature.update(shingles)
        return signature.digest()

    return sign


def gaoya(bands: int, rows: int, words: int) -> Callable[[str], Any]:
    from gaoya.minhash import MinHashStringIndex

    index = MinHashStringIndex(
        hash_size=32,
        num_bands=bands,
        band_size=rows,
        analyzer="word",
        lowercase=True,
        ngram_range=(words, words),
        id_container="vec",
    )
    return index.minhash_index.tokenize_and_minhash


def main() -> None:
    name, file = sys.argv[1:3]
    stride, bands, rows, words = map(int, sys.argv[3:])
    with open(file, encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines][::stride]
    if name.startswith("datatrove"):
        sign = datatrove(bands, rows, words, name == "datatrove_split")
    else:
        sign = {"rensa": rensa, "gaoya": gaoya}[name](bands, rows, words)
    for text in texts[:20]:
        assert sign(text)
    start = time.process_time()
    for text in texts:
        sign(text)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "documents": len(texts)}))


if __name__ == "__main__":
    main()
