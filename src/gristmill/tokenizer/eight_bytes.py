"""Many bytes at once inside a compiled loop: what numba's arrays do not offer by themselves.

The vectors are LLVM's own, which every processor has in some width.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing import Signature
from numba.extending import intrinsic


def _known(option: str) -> bool:
    """Whether this numba takes an option. `_nrt` is its own, and a later one may not have it."""
    try:
        from numba.core.compiler import Flags
        from numba.core.registry import cpu_target

        cpu_target.options.parse_as_flags(Flags(), {option: False})
    except (ImportError, AttributeError, KeyError, TypeError):
        return False
    return True


# Without it all is the same, and several times slower.
_UNCOUNTED: dict[str, Any] = {"_nrt": False} if _known("_nrt") else {}

kernel = njit(cache=True, nogil=True, **_UNCOUNTED)
"""Compiles a function that is called for every piece of a text. It may not make arrays: numba then
counts no references to those that it is given, which cost four fifths of the time."""

inlined = njit(nogil=True, forceinline=True, **_UNCOUNTED)
"""The same, inlined into its callers."""

PADDING = 32
"""Bytes behind a text that `load8` and `letters16` may read: of a piece that ends there, 31 bytes
are looked at in four words."""

_BYTES16 = ir.VectorType(ir.IntType(8), 16)
_NUMBERS16 = ir.VectorType(ir.IntType(32), 16)


@intrinsic
def load8(typing_context: Any, text: Any, at: Any) -> Any:
    """The bytes `text[at : at + 8]` as one uint64, the first the lowest; any alignment.

    No bounds are checked: the caller keeps PADDING bytes behind what it reads.
    """
    signature: Signature = types.uint64(text, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        array = context.make_array(given.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)
        return word if sys.byteorder == "little" else builder.bswap(word)

    return signature, generate


@intrinsic
def letters16(typing_context: Any, text: Any, at: Any) -> Any:
    """How many of the bytes `text[at : at + 16]` are ASCII letters before the first that is not,
    as an int64 from 0 to 16. No bounds are checked."""
    signature: Signature = types.intp(text, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        array = context.make_array(given.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        found = builder.load(builder.bitcast(place, _BYTES16.as_pointer()), align=1)
        lower = builder.or_(found, ir.Constant(_BYTES16, [0x20] * 16))
        from_a = builder.sub(lower, ir.Constant(_BYTES16, [0x61] * 16))
        other = builder.icmp_unsigned(">=", from_a, ir.Constant(_BYTES16, [26] * 16))
        mask = builder.bitcast(other, ir.IntType(16))
        if sys.byteorder != "little":
            mask = builder.bitreverse(mask)
        # A bit behind the sixteen ends the count where all are letters.
        wide = builder.or_(builder.zext(mask, ir.IntType(64)), ir.Constant(ir.IntType(64), 1 << 16))
        return builder.cttz(wide, ir.Constant(ir.IntType(1), 1))

    return signature, generate


@intrinsic
def least16(typing_context: Any, values: Any, at: Any) -> Any:
    """The smallest of `values[at : at + 16]`, of a uint32 array, as an int64; unchecked."""
    signature: Signature = types.intp(values, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        array = context.make_array(given.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        found = builder.load(builder.bitcast(place, _NUMBERS16.as_pointer()), align=4)
        least = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.IntType(32), [_NUMBERS16]),
            "llvm.vector.reduce.umin.v16i32",
        )
        return builder.zext(builder.call(least, [found]), ir.IntType(64))

    return signature, generate


@intrinsic
def prefetch(typing_context: Any, array: Any, at: Any) -> Any:
    """Asks for the cache line of `array[at]`, which is read soon."""
    signature: Signature = types.void(array, types.intp)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        data = context.make_array(given.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        ask = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number]),
            "llvm.prefetch.p0",
        )
        # For reading, to be kept in all caches, as data.
        builder.call(ask, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return signature, generate
