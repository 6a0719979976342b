"""A heap of pairs of tokens, the next to merge on top: by count, then by the rule for ties.

What the functions share: heap_count, heap_pair: the heap, as the first `size` of two arrays; key:
each pair's ids, `left << 32 | right`; by_bytes: ties go by the pairs' bytes, the greatest first,
in place of the lowest ids; spelled, spelled_at, token_length: the bytes of each token.
"""

from __future__ import annotations

from typing import Any

from gristmill.tokenizer.eight_bytes import inlined, kernel


@inlined
def _first(
    one: int, two: int, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any
) -> bool:
    """Whether of two equally frequent pairs the first one is merged first."""
    if not by_bytes:
        return one < two
    for shift in (32, 0):
        a, b = (one >> shift) & 0xFFFFFFFF, (two >> shift) & 0xFFFFFFFF
        if a == b:
            continue
        common = min(token_length[a], token_length[b])
        for i in range(common):
            x, y = spelled[spelled_at[a] + i], spelled[spelled_at[b] + i]
            if x != y:
                return x > y
        return token_length[a] > token_length[b]
    return False


@kernel
def push(
    heap_count: Any, heap_pair: Any, size: int, count: int, pair: int,
    key: Any, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any,
) -> None:  # fmt: skip
    """Adds to the heap: highest count first, then the first by the rule for ties."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        other = heap_count[parent]
        if other > count or (
            other == count
            and _first(
                key[heap_pair[parent]], key[pair], by_bytes, spelled, spelled_at, token_length
            )
        ):
            break
        heap_count[at], heap_pair[at] = other, heap_pair[parent]
        at = parent
    heap_count[at], heap_pair[at] = count, pair


@kernel
def sink(
    heap_count: Any, heap_pair: Any, size: int, count: int, pair: int,
    key: Any, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any,
) -> None:  # fmt: skip
    """Puts an entry in the place of the top."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        second = child + 1
        if second < size and (
            heap_count[second] > heap_count[child]
            or (
                heap_count[second] == heap_count[child]
                and _first(
                    key[heap_pair[second]], key[heap_pair[child]],
                    by_bytes, spelled, spelled_at, token_length,
                )
            )
        ):  # fmt: skip
            child = second
        other = heap_count[child]
        if count > other or (
            count == other
            and _first(
                key[pair], key[heap_pair[child]], by_bytes, spelled, spelled_at, token_length
            )
        ):
            break
        heap_count[at], heap_pair[at] = other, heap_pair[child]
        at = child
    heap_count[at], heap_pair[at] = count, pair


@kernel
def pop(
    heap_count: Any, heap_pair: Any, size: int,
    key: Any, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any,
) -> None:  # fmt: skip
    """Takes the top away; `size` is what stays."""
    sink(heap_count, heap_pair, size, heap_count[size], heap_pair[size],
         key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
