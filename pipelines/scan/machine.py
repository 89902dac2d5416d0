"""Machine instructions that Numba has no name for: words out of bytes, counts of zeros, wide products, bit casts.

Everything here reads without asking whether it may: callers keep `PADDING` readable bytes behind what they look at.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

PADDING = 16
"""Bytes behind the last one looked at that must be readable."""


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def byte(typing: Any, data: Any, at: Any) -> Any:
    """data[at] as int64; `at` is not checked."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(_pointer(context, builder, signature, arguments)), ir.IntType(64))

    return types.int64(data, types.int64), generate


@intrinsic
def word(typing: Any, data: Any, at: Any) -> Any:
    """The eight bytes from data[at] on as uint64, the first one lowest; `at` is not checked."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        loaded = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))
        loaded.align = 1
        return loaded

    return types.uint64(data, types.int64), generate


@intrinsic
def trailing_zeros(typing: Any, value: Any) -> Any:
    """Zero bits below the lowest one of a uint64 that is not 0."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@intrinsic
def leading_zeros(typing: Any, value: Any) -> Any:
    """Zero bits above the highest one of a uint64 that is not 0."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@intrinsic
def high_product(typing: Any, left: Any, right: Any) -> Any:
    """Upper 64 bits of the product of two uint64."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(each, wide) for each in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def float_of(typing: Any, bits: Any) -> Any:
    """The float64 with these bits."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@intrinsic
def bits_of(typing: Any, value: Any) -> Any:
    """The bits of a float64."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate
