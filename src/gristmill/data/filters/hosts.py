"""Hosts and addresses of lists of any length, as hashes: 10 bytes a place of a table.

A host is hashed from its end, label by label, so that one walk from the end of `www.bad.example`
meets `example`, `bad.example` and itself; an address with a path is hashed from its beginning and
meets the table before each `/`, `?` and `#`. The tables hold 64-bit hashes and no text: what is
listed is a part of the URL at hand. With 10 million entries the chance that even one innocent URL
of 10 billion is taken for a listed one is about 2%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.data.filters.lexicon import mix_int
from gristmill.data.ngrams import FNV_OFFSET, FNV_PRIME, Bytes, Hashes, Offsets, mix

Numbers = npt.NDArray[np.uint16]
MAX_HOST = 253

# What `look_up` says of a URL, beside the number of its list.
NOTHING, HOST, ADDRESS, ODD = 0, 1, 2, 3
# The number of a list of hosts that no other list may block.
ALLOWED = 0


@dataclass(frozen=True)
class HashTable:
    """Open addressing over a power of two of places; an empty place has the key 0."""

    keys: Hashes
    numbers: Numbers

    @classmethod
    def build(cls, keys: Hashes, numbers: Numbers) -> HashTable:
        """Where a key comes twice its first number counts."""
        size = 16
        while size < len(keys) + len(keys) // 2:
            size *= 2
        table = cls(np.zeros(size, np.uint64), np.zeros(size, np.uint16))
        if len(keys):
            _insert(table.keys, table.numbers, keys, numbers)
        return table

    @classmethod
    def empty(cls) -> HashTable:
        return cls.build(np.zeros(0, np.uint64), np.zeros(0, np.uint16))

    def __len__(self) -> int:
        return int(np.count_nonzero(self.keys))

    @property
    def nbytes(self) -> int:
        return int(self.keys.nbytes + self.numbers.nbytes)


def hash_bytes(data: bytes) -> int:
    """FNV-1a and the finaliser of MurmurHash3, as the compiled walks compute them."""
    state = int(FNV_OFFSET)
    for byte in data:
        state = ((state ^ byte) * int(FNV_PRIME)) & 0xFFFFFFFFFFFFFFFF
    return mix_int(state)


def host_hash(host: str) -> int:
    """Of a host as `look_up` meets it: lower case, ASCII, without a final dot."""
    return hash_bytes(host.encode()[::-1])


def address_hash(address: str) -> int:
    """Of a host with its path, as `bare_address` writes it."""
    return hash_bytes(address.encode())


@njit(cache=True, nogil=True)
def _insert(keys: Hashes, numbers: Numbers, new: Hashes, new_numbers: Numbers) -> None:
    mask = np.uint64(len(keys) - 1)
    for i in range(len(new)):
        place = new[i] & mask
        while keys[place] != 0 and keys[place] != new[i]:
            place = (place + np.uint64(1)) & mask
        if keys[place] == 0:
            keys[place] = new[i]
            numbers[place] = new_numbers[i]


@njit(cache=True, nogil=True)
def _find(keys: Hashes, numbers: Numbers, state: np.uint64) -> int:
    """The number of a hash before its finaliser; -1 where it is not there."""
    key = mix(state)
    mask = np.uint64(len(keys) - 1)
    place = key & mask
    while keys[place] != 0:
        if keys[place] == key:
            return int(numbers[place])
        place = (place + np.uint64(1)) & mask
    return -1


@njit(cache=True, nogil=True)
def _lower(byte: np.uint8) -> np.uint64:
    return np.uint64(byte + 32) if 65 <= byte <= 90 else np.uint64(byte)


@njit(cache=True, nogil=True)
def hash_hosts(data: Bytes, out: Hashes, odd: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    """The hosts of a list, one a line: (hosts written to `out`, odd lines, all lines).

    `odd` [n, 3] takes begin, end and number of the lines that are not simply a host, for slower
    eyes; blank lines and comments (`#`) are neither.
    """
    hosts = strange = lines = 0
    begin = 0
    while begin < len(data):
        end = begin
        while end < len(data) and data[end] != 10:
            end += 1
        first, last = begin, end
        begin = end + 1
        lines += 1
        while first < last and data[first] <= 32:
            first += 1
        while first < last and data[last - 1] <= 32:
            last -= 1
        if first == last or data[first] == 35:
            continue
        length = last - first
        simple = data[first] != 46 and data[last - 1] != 46 and length <= MAX_HOST
        state = FNV_OFFSET
        for i in range(last - 1, first - 1, -1):
            byte = _lower(data[i])
            if byte == 46 and data[i - 1] == 46:
                simple = False
            if not (
                97 <= byte <= 122 or 48 <= byte <= 57 or byte == 45 or byte == 46 or byte == 95
            ):
                simple = False
                break
            state = (state ^ byte) * FNV_PRIME
        if simple:
            out[hosts] = mix(state)
            hosts += 1
        else:
            odd[strange, 0], odd[strange, 1], odd[strange, 2] = first, last, lines
            strange += 1
    return hosts, strange, lines


@njit(cache=True, nogil=True)
def look_up(
    data: Bytes,
    offsets: Offsets,
    host_keys: Hashes,
    host_numbers: Numbers,
    address_keys: Hashes,
    address_numbers: Numbers,
    has_addresses: bool,
    word_keys: Hashes,
    word_numbers: Numbers,
    has_words: bool,
    found: npt.NDArray[np.int64],
) -> None:
    """For each URL what lists say, into `found` [n, 5]: NOTHING, HOST, ADDRESS or ODD (its host
    needs slower eyes); the list's number; begin and end of the listed part (for an ADDRESS, of all
    from the host on); how many of its words are in the table, plus one where it needs slower eyes.
    """
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        i = start
        # A '://' further on is a part of the path.
        while i + 2 < stop and data[i] != 58 and data[i] != 47 and data[i] != 63:
            i += 1
        if i + 2 >= stop or data[i] != 58 or data[i + 1] != 47 or data[i + 2] != 47:
            continue
        host = i + 3
        # The authority ends at '/', '?' or '#'; browsers read '\' as '/'.
        end = host
        odd = False
        while end < stop:
            byte = data[end]
            if byte == 47 or byte == 63 or byte == 35 or byte == 92:
                break
            if byte == 64:
                host = end + 1
            odd = odd or byte >= 128 or byte == 37 or byte == 91 or byte <= 32
            end += 1
        if has_words:
            state = FNV_OFFSET
            inside = False
            for j in range(i + 3, stop + 1):
                byte = _lower(data[j]) if j < stop else np.uint64(0)
                if 97 <= byte <= 122 or 48 <= byte <= 57:
                    state = (state ^ byte) * FNV_PRIME
                    inside = True
                elif inside:
                    found[row, 4] += _find(word_keys, word_numbers, state) >= 0
                    state = FNV_OFFSET
                    inside = False
                # Other letters, and escapes that may hide some: the caller looks for itself.
                if byte >= 128 or byte == 37:
                    found[row, 4] += 1
                    break
        if odd:
            found[row, 0] = ODD
            continue
        last = host
        while last < end and data[last] != 58:
            last += 1
        while last > host and data[last - 1] == 46:
            last -= 1
        state = FNV_OFFSET
        for j in range(last - 1, host - 1, -1):
            state = (state ^ _lower(data[j])) * FNV_PRIME
            if j == host or data[j - 1] == 46:
                number = _find(host_keys, host_numbers, state)
                if number >= 0:
                    # A longer one may follow, which counts instead.
                    found[row, 0], found[row, 1] = HOST, number
                    found[row, 2], found[row, 3] = j, last
        if found[row, 0] == HOST and found[row, 1] == ALLOWED:
            found[row, 0] = NOTHING
            continue
        if not has_addresses:
            continue
        first = host
        j = host
        while j < last and j < host + 3 and _lower(data[j]) == 119:
            j += 1
        if j == host + 3:
            while j < last and 48 <= data[j] <= 57:
                j += 1
            if j < last - 1 and data[j] == 46:
                first = j + 1
        state = FNV_OFFSET
        for j in range(first, last):
            state = (state ^ _lower(data[j])) * FNV_PRIME
        for j in range(end, stop + 1):
            if j == stop or data[j] == 47 or data[j] == 63 or data[j] == 35:
                number = _find(address_keys, address_numbers, state)
                if number >= 0:
                    found[row, 0], found[row, 1] = ADDRESS, number
                    found[row, 2], found[row, 3] = first, j
                    break
            if j < stop:
                state = (state ^ _lower(data[j])) * FNV_PRIME
