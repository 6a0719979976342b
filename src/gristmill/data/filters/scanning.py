"""A text as planes of bits: of each byte, whether it is white space, a letter, a digit and so on.

Sixty-four bytes are classified at once; afterwards a word is a few bits in each plane, and where it
ends, how many capitals it has and where its letters begin are single instructions. Numba's arrays
do not offer that by themselves. The vectors are LLVM's own, which every processor has in some
width.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing import Signature
from numba.extending import intrinsic

from gristmill.data.filters.word_bytes import space_width
from gristmill.tokenizer.eight_bytes import kernel

# Planes, by their places.
SPACE: Final = 0
BREAK: Final = 1  # white space that may end a line
LETTER: Final = 2
UPPER: Final = 3
SPECIAL: Final = 4  # any of the following
HIGH: Final = 5  # no ASCII
LEAD: Final = 6  # of those, what may begin white space
DIGIT: Final = 7
END: Final = 8  # may end a sentence
CLOSING: Final = 9  # may stand behind such an end; alone it is not special
MARK: Final = 10  # [ @ : # {
PHRASE: Final = 11  # begins 'iva', 'oki', 'jav', 'rms' or 'ips', which words of phrases hold
PLANES: Final = 12

BLOCK: Final = 64
AHEAD: Final = 2
"""Bytes behind a block that are looked at with it."""
BITS: Final = 56
"""So many bits of a plane are seen at once."""
_BYTES = ir.VectorType(ir.IntType(8), BLOCK)
_WORD = ir.IntType(64)


class _Block:
    """The comparisons of a block's bytes, in LLVM's terms."""

    def __init__(self, builder: Any, bytes_: Any):
        self.builder, self.bytes = builder, bytes_

    def _all(self, value: int) -> Any:
        return ir.Constant(_BYTES, [value] * BLOCK)

    def lower(self) -> _Block:
        """Letters in lower case; other bytes become something else."""
        return _Block(self.builder, self.builder.or_(self.bytes, self._all(0x20)))

    def is_(self, characters: str) -> Any:
        found = None
        for character in characters:
            one = self.builder.icmp_unsigned("==", self.bytes, self._all(ord(character)))
            found = one if found is None else self.builder.or_(found, one)
        return found

    def between(self, first: int, last: int) -> Any:
        shifted = self.builder.sub(self.bytes, self._all(first))
        return self.builder.icmp_unsigned("<=", shifted, self._all(last - first))


@intrinsic
def _mark_block(typing_context: Any, text: Any, at: Any, planes: Any, place: Any, step: Any) -> Any:
    """Writes the 64 bits of `text[at : at + 64]` in plane p to `planes[place + p * step]`, the
    first byte's the lowest; those of HIGH are returned. No bounds are checked."""
    signature: Signature = types.intp(text, types.intp, planes, types.intp, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        array = context.make_array(given.args[0])(context, builder, arguments[0])
        marks = context.make_array(given.args[2])(context, builder, arguments[2]).data

        def load(further: int) -> _Block:
            offset = builder.add(arguments[1], ir.Constant(arguments[1].type, further))
            place = builder.bitcast(builder.gep(array.data, [offset]), _BYTES.as_pointer())
            return _Block(builder, builder.load(place, align=1))

        def any_of(*found: Any) -> Any:
            whole = found[0]
            for one in found[1:]:
                whole = builder.or_(whole, one)
            return whole

        here = load(0)
        small = here.lower()
        second, third = load(1).lower(), load(2).lower()
        phrase = [
            builder.and_(builder.and_(small.is_(a), second.is_(b)), third.is_(c))
            for a, b, c in ("iva", "oki", "jav", "rms", "ips")
        ]
        found = {
            SPACE: any_of(here.between(9, 13), here.between(28, 32)),
            BREAK: any_of(here.between(10, 13), here.between(28, 30)),
            LETTER: small.between(ord("a"), ord("z")),
            UPPER: here.between(ord("A"), ord("Z")),
            HIGH: here.between(0x80, 0xFF),
            LEAD: here.is_("\xc2\xe1\xe2\xe3"),
            DIGIT: here.between(ord("0"), ord("9")),
            END: here.is_(".?!"),
            CLOSING: here.is_("\"')]"),
            MARK: here.is_("[@:#{"),
            PHRASE: any_of(*phrase),
        }
        found[SPECIAL] = any_of(*(found[plane] for plane in (HIGH, DIGIT, END, MARK, PHRASE)))
        bits = {}
        for plane, of_bytes in found.items():
            word = builder.bitcast(of_bytes, _WORD)
            if sys.byteorder != "little":
                word = builder.bitreverse(word)
            bits[plane] = word
            offset = builder.add(arguments[3], builder.mul(arguments[4], _WORD(plane)))
            where = builder.bitcast(builder.gep(marks, [offset]), _WORD.as_pointer())
            stored = word if sys.byteorder == "little" else builder.bswap(word)
            builder.store(stored, where, align=1)
        return bits[HIGH]

    return signature, generate


@intrinsic
def window(typing_context: Any, planes: Any, first: Any, bit: Any) -> Any:
    """The bits of the plane at `planes[first:]` from `bit` on, the lowest first, at least BITS of
    them. No bounds are checked."""
    signature: Signature = types.intp(planes, types.intp, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        marks = context.make_array(given.args[0])(context, builder, arguments[0]).data
        at = builder.add(arguments[1], builder.lshr(arguments[2], _WORD(3)))
        place = builder.bitcast(builder.gep(marks, [at]), _WORD.as_pointer())
        word = builder.load(place, align=1)
        if sys.byteorder != "little":
            word = builder.bswap(word)
        return builder.lshr(word, builder.and_(arguments[2], _WORD(7)))

    return signature, generate


@intrinsic
def ones(typing_context: Any, bits: Any) -> Any:
    """How many bits are set."""

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.intp(types.intp), generate


@intrinsic
def lowest(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; 64 where none is."""

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.intp(types.intp), generate


@intrinsic
def width_of(typing_context: Any, bits: Any) -> Any:
    """One more than the place of the highest bit that is set; 0 where none is."""

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        return builder.sub(_WORD(64), builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0)))

    return types.intp(types.intp), generate


@kernel
def plane_step(size):  # type: ignore[no-untyped-def]
    """Bytes from one plane of a text of `size` bytes to the next."""
    return (size // BLOCK + 3) * 8


def plane_bytes(size: int) -> int:
    """Of all planes of a text of `size` bytes."""
    return PLANES * (size // BLOCK + 3) * 8


@kernel
def mark_text(data, start, stop, planes, step, tail):  # type: ignore[no-untyped-def]
    """The planes of data[start:stop], of which bit 0 is the byte at `start`. Behind the text there
    is white space. tail: BLOCK + AHEAD bytes for what stands at the end of `data`."""
    place = high = 0
    for at in range(start, stop, BLOCK):
        if at + BLOCK + AHEAD <= len(data):
            high |= _mark_block(data, at, planes, place, step)
        else:
            for i in range(BLOCK + AHEAD):
                tail[i] = data[at + i] if at + i < len(data) else 0
            high |= _mark_block(tail, 0, planes, place, step)
        place += 8
    if high:
        _mark_wide_spaces(data, start, stop, planes, step)
    at, bit = (stop - start) >> 3, (stop - start) & 7
    for plane in (SPACE, BREAK):
        first = plane * step + at
        if bit:
            planes[first] = planes[first] & ((1 << bit) - 1) | (0xFF << bit) & 0xFF
            first += 1
        for i in range(first, first + 9):
            planes[i] = 0xFF


@kernel
def count_marked(planes, first, size):  # type: ignore[no-untyped-def]
    """How many of a text's `size` bytes are in the plane at planes[first:]."""
    found = bit = 0
    while bit + 48 <= size:
        found += ones(window(planes, first, bit) & ((1 << 48) - 1))
        bit += 48
    return found + ones(window(planes, first, bit) & ((1 << (size - bit)) - 1))


@kernel
def _mark_wide_spaces(data, start, stop, planes, step):  # type: ignore[no-untyped-def]
    """White space beyond ASCII; some ends a line, so that all is looked at."""
    bit = 0
    while start + bit < stop:
        leads = window(planes, LEAD * step, bit)
        if leads == 0:
            bit += BITS
            continue
        bit += lowest(leads)
        width = space_width(data, start + bit, stop) if start + bit < stop else 0
        for at in range(bit, bit + width):
            flag = np.uint8(1 << (at & 7))
            planes[SPACE * step + (at >> 3)] |= flag
            planes[BREAK * step + (at >> 3)] |= flag
        bit += 1
