"""One more visit to a place, counted inside compiled code."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tests.fuzz.coverage import HITS


@intrinsic
def hit(typing: Any, number: Any) -> Any:
    """HITS[number] += 1."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8)
        counters = builder.inttoptr(ir.Constant(ir.IntType(64), HITS.ctypes.data), byte.as_pointer())
        place = builder.gep(counters, [arguments[0]])
        builder.store(builder.add(builder.load(place), ir.Constant(byte, 1)), place)
        return context.get_dummy_value()

    return types.void(types.int64), generate
