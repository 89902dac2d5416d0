"""Machine instructions that Numba does not offer: words out of bytes, zero bits, fused arithmetic, bit casts.

Nothing here checks bounds: callers keep `PADDING` readable bytes after the last one they look at.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

PADDING = 16
"""Number of bytes that must be readable after the last one looked at."""


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def byte(typing: Any, data: Any, at: Any) -> Any:
    """data[at] as int64."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(_pointer(context, builder, signature, arguments)), ir.IntType(64))

    return types.int64(data, types.int64), generate


@intrinsic
def word(typing: Any, data: Any, at: Any) -> Any:
    """The eight bytes from data[at] on as uint64, the first one lowest."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        loaded = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))
        loaded.align = 1
        return loaded

    return types.uint64(data, types.int64), generate


@intrinsic
def trailing_zeros(typing: Any, value: Any) -> Any:
    """Number of zero bits below the lowest set bit of a uint64 other than 0."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@intrinsic
def fused_multiply_add(typing: Any, left: Any, right: Any, summand: Any) -> Any:
    """left * right + summand, rounded once."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@intrinsic
def bits_of(typing: Any, value: Any) -> Any:
    """The bits of a float64."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate
