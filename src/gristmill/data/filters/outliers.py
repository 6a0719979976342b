"""Documents unlike the corpus they stand in: by length, by bytes, by how rare their words are.

What is usual is read from the corpus itself, before any document is judged: the shares of its
bytes, how often each word stands in it, and the median length with its spread.

- length_deviation: how far the logarithm of a document's length (characters) lies from the median,
  in robust standard deviations (1.4826 times the median absolute deviation).
- byte_divergence: the Kullback-Leibler divergence, in bits, of the shares of its bytes from those
  of the corpus: other scripts, encoded data, tables of numbers.
- word_bits: bits per word under the corpus's own unigram model: many for lists of names and noise,
  few for one word over and over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.checks import Check, Floats, above, below
from gristmill.data.filters.rules import OutlierRules
from gristmill.data.ngrams import Texts, text_buffer, word_hashes

# Words are told apart by 18 bits of their hash: a megabyte, however large the corpus is.
_BUCKET_BITS = 18
_SHIFT = np.uint64(64 - _BUCKET_BITS)


@dataclass(frozen=True)
class CorpusShape:
    """What is usual. word_bits: float32 [2**18], the bits of a word by its bucket. byte_bits:
    float64 [256]. length_median, length_spread: of the natural logarithm of characters."""

    word_bits: npt.NDArray[np.float32]
    byte_bits: Floats
    length_median: float
    length_spread: float

    @classmethod
    def of(cls, batches: Iterable[Texts]) -> CorpusShape:
        """From all texts, a batch at a time; nothing but counts and lengths is kept."""
        words = np.zeros(1 << _BUCKET_BITS, np.int64)
        byte_counts = np.zeros(256, np.int64)
        lengths: list[Floats] = []
        for texts in batches:
            data, offsets = text_buffer(texts)
            hashes, _ = word_hashes(texts)
            words += np.bincount((hashes >> _SHIFT).astype(np.int64), minlength=len(words))
            byte_counts += np.bincount(data[offsets[0] : offsets[-1]], minlength=256)
            lengths.append(_log_length(texts))
        together = np.concatenate(lengths) if lengths else np.zeros(0)
        median = float(np.median(together)) if len(together) else 0.0
        spread = 1.4826 * float(np.median(np.abs(together - median))) if len(together) else 0.0
        # What the corpus has not is counted half a time, so that no word has endless bits.
        shares = (words + 0.5) / (words.sum() + 0.5 * len(words))
        bits = -np.log2((byte_counts + 0.5) / (byte_counts.sum() + 128))
        return cls(-np.log2(shares).astype(np.float32), bits, median, max(spread, 0.01))


def outliers(texts: Texts, shape: CorpusShape, rules: OutlierRules) -> list[Check]:
    """The checks; a text without words has 0 bits per word, which is not judged."""
    data, offsets = text_buffer(texts)
    count = len(offsets) - 1
    deviation = np.abs(_log_length(texts) - shape.length_median) / shape.length_spread
    divergence = np.zeros(count)
    for row in range(count):
        here = np.bincount(data[offsets[row] : offsets[row + 1]], minlength=256)
        share = here / max(1, here.sum())
        used = share > 0
        divergence[row] = np.sum(share[used] * (np.log2(share[used]) + shape.byte_bits[used]))
    hashes, starts = word_hashes(texts)
    bits = np.concatenate([[0.0], np.cumsum(shape.word_bits[(hashes >> _SHIFT).astype(np.int64)])])
    words = np.diff(starts)
    rarity = np.divide(
        bits[starts[1:]] - bits[starts[:-1]], words, where=words > 0, out=np.zeros(count)
    )
    judged = words > 0
    low = [
        Check(c.reason, c.value, c.sign, c.limit, c.failed & judged, judged)
        for c in below("outliers.word_bits", rarity, rules.min_word_bits)
    ]
    return [
        *above("outliers.length_deviation", deviation, rules.max_length_deviation),
        *above("outliers.byte_divergence", divergence, rules.max_byte_divergence),
        *above("outliers.word_bits", rarity, rules.max_word_bits),
        *low,
    ]


def _log_length(texts: Texts) -> Floats:
    """The natural logarithm of each text's characters; of 1 for an empty one."""
    import pyarrow.compute as pc

    array = (
        texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts, pa.string())
    )
    lengths = pc.fill_null(pc.utf8_length(array), 0).to_numpy(zero_copy_only=False)
    return np.log(np.maximum(lengths, 1).astype(np.float64))
