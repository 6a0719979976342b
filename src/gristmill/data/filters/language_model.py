"""lid.176 as numbers: what fastText's own program says of a text, in a seventh of its time.

The file is fastText's (Joulin et al. 2016, "FastText.zip"): rows of words and of hashed pieces of
words, each cut in pairs of numbers of which a byte names one of 256 (product quantization), then a
tree of yes-or-no questions over the languages (hierarchical softmax). Here the rows are unpacked
once, those of pieces in the order of their hashes, so that a bit says whether there is one and a
count of bits which it is: both fit the nearest caches. Sums run in fastText's order, so that labels
and probabilities are its own to the last bit (`tests/data_filters`).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError

_MAGIC, _VERSION = 793712314, 12
_TREE, _SUPERVISED = 1, 3  # of fastText's `loss_name` and `model_name`
_CENTROIDS = 256
_SIZE: Final = 16
_HEAD, _COUNTS, _ENTRY = struct.Struct("<14id"), struct.Struct("<3i2q"), struct.Struct("<qb")
_QUANTIZED, _CUT, _DENSE = struct.Struct("<?2qi"), struct.Struct("<4i"), struct.Struct("<2q")
_LABEL: Final = b"__label__"
_LABEL_BYTES: Final = np.frombuffer(_LABEL, np.uint8)
_LINE_END: Final = np.frombuffer(b"</s>", np.uint8)
# The logarithm of what fastText adds to each probability: what is less likely is not followed.
_LEAST: Final = np.float32(math.log(1e-5))
_UNTOLD = 1e15  # what a node of Huffman's tree counts before its turn
# FNV-1a, as fastText has it: bytes from 128 on count as negative numbers.
_BASIS, _PRIME = np.uint32(2166136261), np.uint32(16777619)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model that `load` read. `labels` are those that it can give, without `__label__`."""

    labels: tuple[str, ...]
    _words: tuple[Any, ...]
    """Their bytes, where each begins and ends, and a hash table of their numbers."""
    _pieces: tuple[Any, ...]
    """A bit for each hash, how many bits are before each 64 of them, how many hashes there are."""
    _rows: npt.NDArray[np.float32]
    _tree: tuple[Any, ...]

    def best(self, line: str) -> tuple[str, float]:
        """The most likely label of a text without line feeds, and its probability."""
        data = np.frombuffer(line.encode("utf-8", "replace") + b"\n", np.uint8)
        place, probability = _best(data, self._words, self._pieces, self._rows, self._tree)
        return self.labels[place], float(probability)


def load(path: Path) -> LanguageModel:
    """Reads a quantized, pruned, supervised model with a tree over its labels (a `.ftz`).

    Raises GristmillError for any other file.
    """
    try:
        return _read(path.read_bytes())
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise GristmillError(f"cannot read the language model: {why}", where=path) from error
    except (struct.error, ValueError, IndexError) as error:
        raise GristmillError(f"cannot load the language model: {error}", where=path) from error


def _read(data: bytes) -> LanguageModel:
    head = _HEAD.unpack_from(data)
    (magic, version, size), (grams, loss, model) = head[:3], head[7:10]
    bucket, shortest, longest = head[10:13]
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError("no model of fastText's")
    found = (size, grams, loss, model, shortest, longest)
    if found != (_SIZE, 1, _TREE, _SUPERVISED, 2, 4) or bucket < 1:
        raise ValueError("not made as lid.176 is")
    at = _HEAD.size
    entries, words, labels, _, pieces = _COUNTS.unpack_from(data, at)
    at += _COUNTS.size
    names, counts = [], []
    for _ in range(entries):
        end = data.index(b"\0", at)
        names.append(data[at:end])
        counts.append(_ENTRY.unpack_from(data, end + 1)[0])
        at = end + 1 + _ENTRY.size
    if entries != words + labels or labels < 2 or pieces < 1:
        raise ValueError("not pruned as lid.176 is")
    kept = np.frombuffer(data, "<i4", 2 * pieces, at).reshape(pieces, 2)
    at += 8 * pieces
    if not data[at]:
        raise ValueError("not quantized")
    rows, at = _unpacked(data, at + 1, size)
    order = np.argsort(kept[:, 0])
    hashes = kept[order, 0]
    if len(rows) != words + pieces or hashes[0] < 0 or hashes[-1] >= bucket:
        raise ValueError("rows and pieces do not fit each other")
    rows = np.concatenate([rows[:words], rows[words + kept[order, 1]]])
    if data[at]:
        raise ValueError("its tree is quantized")
    height, width = _DENSE.unpack_from(data, at + 1)
    if (height, width) != (labels, size):
        raise ValueError("labels and tree do not fit each other")
    nodes = np.frombuffer(data, "<f4", labels * size, at + 1 + _DENSE.size)
    return LanguageModel(
        tuple(name.removeprefix(_LABEL).decode() for name in names[words:]),
        _word_table(names[:words]),
        _bits(hashes, bucket),
        np.ascontiguousarray(rows),
        (_huffman(counts[words:]), nodes.reshape(labels, size).copy()),
    )


def _unpacked(data: bytes, at: int, size: int) -> tuple[npt.NDArray[np.float32], int]:
    """The rows of a quantized matrix, float32 [rows, size], and where it ends."""
    normed, count, width, codes_size = _QUANTIZED.unpack_from(data, at)
    at += _QUANTIZED.size
    codes = np.frombuffer(data, np.uint8, codes_size, at)
    at += codes_size
    centroids, at = _centroids(data, at, size)
    parts = len(centroids)
    if width != size or codes_size != count * parts or not normed:
        raise ValueError("rows are not cut as lid.176's are")
    codes = codes.reshape(count, parts)
    rows = np.concatenate([centroids[part][codes[:, part]] for part in range(parts)], axis=1)
    norms = np.frombuffer(data, np.uint8, count, at)
    at += count
    lengths, at = _centroids(data, at, 1)
    return rows * lengths[0][norms], at


def _centroids(data: bytes, at: int, size: int) -> tuple[npt.NDArray[np.float32], int]:
    """float32 [parts, 256, numbers of a part], and where they end."""
    whole, parts, each, last = _CUT.unpack_from(data, at)
    if whole != size or each != last or parts * each != size:
        raise ValueError("rows are cut in unequal parts")
    found = np.frombuffer(data, "<f4", size * _CENTROIDS, at + _CUT.size)
    return found.reshape(parts, _CENTROIDS, each), at + _CUT.size + 4 * size * _CENTROIDS


def _word_table(words: list[bytes]) -> tuple[Any, ...]:
    ends = np.cumsum([len(word) for word in words])
    table = np.full(1 << (2 * len(words)).bit_length(), -1, np.int32)
    for number, word in enumerate(words):
        state = int(_BASIS)
        for byte in word:
            state = (state ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * int(_PRIME) & 0xFFFFFFFF
        place = state & (len(table) - 1)
        while table[place] >= 0:
            place = (place + 1) & (len(table) - 1)
        table[place] = number
    letters = np.frombuffer(b"".join(words), np.uint8)
    return letters, np.concatenate([[0], ends]).astype(np.int32), table


def _bits(hashes: npt.NDArray[np.int32], bucket: int) -> tuple[Any, ...]:
    bits = np.zeros(bucket // 64 + 1, np.uint64)
    np.bitwise_or.at(bits, hashes >> 6, np.uint64(1) << (hashes & 63).astype(np.uint64))
    before = np.searchsorted(hashes, np.arange(len(bits)) << 6).astype(np.int32)
    return bits, before, np.int64(bucket)


def _huffman(counts: list[int]) -> npt.NDArray[np.int32]:
    """int32 [2 * labels - 1, 2]: the two nodes below each; -1 below the labels, which come first.
    The root is the last."""
    labels = len(counts)
    weight = [float(count) for count in counts] + [_UNTOLD] * (labels - 1)
    below = np.full((2 * labels - 1, 2), -1, np.int32)
    leaf, node = labels - 1, labels
    for made in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                below[made, side], leaf = leaf, leaf - 1
            else:
                below[made, side], node = node, node + 1
        weight[made] = weight[below[made, 0]] + weight[below[made, 1]]
    return below


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _best(data, words, pieces, rows, tree):  # type: ignore[no-untyped-def]
    """The label's number and its probability. data: UTF-8 that ends in a line feed."""
    total = np.zeros(_SIZE, np.float32)
    count = 0
    # A word between its brackets, which are bytes of it to the pieces.
    word = np.empty(len(data) + 6, np.uint8)
    word[0] = 60  # <
    at, ended = 0, False
    while not ended:
        length = 0
        while not (data[at] == 32 or 9 <= data[at] <= 13 or data[at] == 0):
            length += 1
            word[length] = data[at]
            at += 1
        if data[at] != 10:
            at += 1
            if length == 0:
                continue
        if length == 0:
            # The end of the line is a word too. Written out it ends the line as well.
            length = 4
            for i in range(4):
                word[i + 1] = _LINE_END[i]
        ended = length == 4 and _same(word, _LINE_END, 0, 4)
        number = _number(word, length, words)
        if number >= 0:
            _add(total, rows, number)
            count += 1
        elif length >= len(_LABEL_BYTES) and _same(word, _LABEL_BYTES, 0, len(_LABEL_BYTES)):
            # What begins like a label is none of the words.
            continue
        if not ended:
            word[length + 1] = 62  # >
            count += _add_pieces(total, word, length + 2, pieces, rows, len(words[1]) - 1)
    if count:
        share = np.float32(1.0 / count)
        for k in range(_SIZE):
            total[k] *= share
    return _leaf(total, tree[0], tree[1])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _same(word, letters, start, length):  # type: ignore[no-untyped-def]
    """Whether the bytes in the brackets are `length` of `letters` from `start`."""
    for i in range(length):  # noqa: SIM110
        if letters[start + i] != word[i + 1]:
            return False
    return True


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number(word, length, words):  # type: ignore[no-untyped-def]
    """The number of the word in the brackets, or -1."""
    letters, begins, table = words
    state = _BASIS
    for i in range(1, length + 1):
        state = np.uint32((state ^ np.uint32(np.int8(word[i]))) * _PRIME)
    last = len(table) - 1
    place = np.int64(state) & last
    while table[place] >= 0:
        start = begins[table[place]]
        if begins[table[place] + 1] - start == length and _same(word, letters, start, length):
            return np.int64(table[place])
        place = (place + 1) & last
    return np.int64(-1)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_pieces(total, word, stop, pieces, rows, word_count):  # type: ignore[no-untyped-def]
    """Adds the rows of two to four characters from everywhere in the word; how many there were."""
    bits, before, bucket = pieces
    inverse = 1.0 / bucket
    count = 0
    for i in range(stop):
        if word[i] & 0xC0 == 0x80:
            continue  # inside a character
        state = _BASIS
        j = i
        for n in range(4):
            if j >= stop:
                break
            state = np.uint32((state ^ np.uint32(np.int8(word[j]))) * _PRIME)
            j += 1
            while j < stop and word[j] & 0xC0 == 0x80:
                state = np.uint32((state ^ np.uint32(np.int8(word[j]))) * _PRIME)
                j += 1
            if n == 0:
                continue
            # A division of whole numbers would take as long as all the rest.
            rest = np.int64(state)
            rest -= np.int64(rest * inverse) * bucket
            if rest < 0:
                rest += bucket
            elif rest >= bucket:
                rest -= bucket
            group, bit = bits[rest >> 6], np.uint64(1) << np.uint64(rest & 63)
            if group & bit:
                below = _ones(group & (bit - np.uint64(1)))
                _add(total, rows, word_count + before[rest >> 6] + below)
                count += 1
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(total, rows, row):  # type: ignore[no-untyped-def]
    # As many as there are is said outright, so that they are added four or eight at a time.
    for k in range(_SIZE):
        total[k] += rows[row, k]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ones(bits):  # type: ignore[no-untyped-def]
    """How many of 64 bits are set."""
    bits -= bits >> np.uint64(1) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + (
        bits >> np.uint64(2) & np.uint64(0x3333333333333333)
    )
    bits = bits + (bits >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(bits * np.uint64(0x0101010101010101) >> np.uint64(56))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _leaf(hidden, below, nodes):  # type: ignore[no-untyped-def]
    """The likeliest label below the root, left branches first as fastText walks them."""
    labels = len(nodes)
    waiting = np.empty(len(below), np.int32)
    scores = np.empty(len(below), np.float32)
    waiting[0], scores[0] = len(below) - 1, np.float32(0.0)
    held = 1
    best, best_score = -1, np.float32(-np.inf)
    while held:
        held -= 1
        node, score = waiting[held], scores[held]
        if score < _LEAST or score < best_score:
            continue
        if node < labels:
            best, best_score = node, score
            continue
        dot = np.float32(0.0)
        for k in range(_SIZE):
            dot += nodes[node - labels, k] * hidden[k]
        yes = np.float32(1.0 / np.float64(np.float32(1.0) + np.float32(math.exp(-dot))))
        no = np.float32(1.0 - np.float64(yes))
        waiting[held], waiting[held + 1] = below[node, 1], below[node, 0]
        scores[held] = score + np.float32(math.log(np.float64(yes) + 1e-5))
        scores[held + 1] = score + np.float32(math.log(np.float64(no) + 1e-5))
        held += 2
    return best, np.float32(math.exp(best_score))
