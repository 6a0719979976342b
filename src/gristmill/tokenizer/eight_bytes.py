"""Eight bytes at once inside a compiled loop: what numba's arrays do not offer by themselves."""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing import Signature
from numba.extending import intrinsic

PADDING = 16
"""Bytes behind a text that `load8` may read."""


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
def trailing_zeros(typing_context: Any, value: Any) -> Any:
    """Zero bits below the lowest bit that is set, of a uint64 that is not 0, as an int64."""
    signature: Signature = types.intp(types.uint64)

    def generate(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return signature, generate
