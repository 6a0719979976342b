"""Sixteen bytes of a text at once, inside a compiled loop: where a word of small letters ends."""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing import Signature
from numba.extending import intrinsic

_BYTES16 = ir.VectorType(ir.IntType(8), 16)


@intrinsic
def small16(typing_context: Any, text: Any, at: Any) -> Any:
    """Of the bytes `text[at : at + 16]`: how many are a to z before the first that is not, 0 to
    16, plus 32 for each bit i where byte i is a j, k or v, shifted by i. No bounds are checked."""
    signature: Signature = types.intp(text, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        array = context.make_array(given.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        found = builder.load(builder.bitcast(place, _BYTES16.as_pointer()), align=1)

        def mask(bits: Any) -> Any:
            word = builder.bitcast(bits, ir.IntType(16))
            if sys.byteorder != "little":
                word = builder.bitreverse(word)
            return builder.zext(word, ir.IntType(64))

        def all_of(value: int) -> Any:
            return ir.Constant(_BYTES16, [value] * 16)

        other = builder.icmp_unsigned(">=", builder.sub(found, all_of(0x61)), all_of(26))
        rare = builder.or_(
            builder.icmp_unsigned("==", builder.and_(found, all_of(0xFE)), all_of(0x6A)),
            builder.icmp_unsigned("==", found, all_of(0x76)),
        )
        # A bit behind the sixteen ends the count where all are small letters.
        wide = builder.or_(mask(other), ir.Constant(ir.IntType(64), 1 << 16))
        count = builder.cttz(wide, ir.Constant(ir.IntType(1), 1))
        return builder.or_(count, builder.shl(mask(rare), ir.Constant(ir.IntType(64), 5)))

    return signature, generate
