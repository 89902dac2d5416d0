"""JSON numbers: text -> float64 as Python's `float` reads it, and float64 -> float16 as NumPy rounds it."""

from __future__ import annotations

import numpy as np

from pipelines.decode.scan.compiling import compiled
from pipelines.decode.scan.machine import bits_of, byte, fused_multiply_add, trailing_zeros, word

DOUBT = -1
"""An end position that means: leave the line to the exact reader."""

_ZERO, _MINUS, _PLUS, _POINT, _SMALL_E, _LARGE_E = map(ord, "0-+.eE")
_MOST_DIGITS = 19  # every such integer fits uint64
_MOST_EXPONENT_DIGITS = 4
_EXACT = np.uint64(1 << 53)
_TENS = np.array([float(f"1e{power}") for power in range(23)])  # all exact
_TEN_TO = np.array([10**power for power in range(9)], np.uint64)
_ZEROS = np.uint64(0x3030303030303030)
_TO_TOP = np.uint64(0x7676767676767676)  # added to a byte above 9, it sets the highest bit
_TOPS = np.uint64(0x8080808080808080)
_PAIRS, _FOURS, _EIGHT = np.uint64(1 + (10 << 8)), np.uint64(1 + (100 << 16)), np.uint64(1 + (10_000 << 32))
_TWO_OF_FOUR, _FOUR_OF_EIGHT = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)


@compiled
def read_number(data, at):
    """The number that begins at `at`: (value, end, whole). `end` is DOUBT for anything else, and for hard numbers.

    `whole` says that it has neither fraction nor exponent. Hard numbers have more than 19 significant digits, more
    than 22 decimal places, or a value about halfway between two float64.
    """
    negative = byte(data, at) == _MINUS
    if negative:
        at += 1
    first = at
    mantissa, at = _read_digits(data, at, np.uint64(0))
    digits = at - first
    if digits == 0 or (digits > 1 and byte(data, first) == _ZERO):
        return 0.0, DOUBT, False
    here = byte(data, at)
    power = 0
    whole = True
    if here == _POINT:
        whole = False
        fraction = at + 1
        mantissa, at = _read_digits(data, fraction, mantissa)
        if at == fraction:
            return 0.0, DOUBT, False
        here = byte(data, at)
        power = fraction - at
        digits -= power
    if digits > _MOST_DIGITS:
        look = first
        while byte(data, look) == _ZERO or byte(data, look) == _POINT:
            digits -= byte(data, look) == _ZERO
            look += 1
        if digits > _MOST_DIGITS:
            return 0.0, DOUBT, False
    if here == _SMALL_E or here == _LARGE_E:
        whole = False
        at += 1
        down = byte(data, at) == _MINUS
        if down or byte(data, at) == _PLUS:
            at += 1
        exponent, end = _read_digits(data, at, np.uint64(0))
        if end == at or end - at > _MOST_EXPONENT_DIGITS:
            return 0.0, DOUBT, False
        power += -np.int64(exponent) if down else np.int64(exponent)
        at = end
    value = float(mantissa)
    if mantissa < _EXACT and -22 <= power <= 22:
        # both are exact in float64, so one operation rounds once (Clinger 1990)
        value = value / _TENS[-power] if power < 0 else value * _TENS[power]
    elif mantissa != 0:
        if power < -22 or power > 0:
            return 0.0, DOUBT, False
        # 16 to 19 digits: the quotient of the rounded mantissa, and the error of both roundings
        scale = _TENS[-power]
        quotient = value / scale
        rest = fused_multiply_add(-quotient, scale, value) + float(np.int64(mantissa - np.uint64(value)))
        rest /= scale
        error = abs(rest) * 2.0**-50 if power < 0 else 0.0
        value = quotient + (rest - error)
        if value != quotient + (rest + error):
            return 0.0, DOUBT, False
    return (-value if negative else value), at, whole


@compiled
def _read_digits(data, at, value):
    """`value` with the digits that begin at `at` appended, modulo 2^64: (that, end).

    Eight at a time and without a branch on their number: with numbers of different lengths it would be mispredicted.
    """
    while True:
        digits = word(data, at) ^ _ZEROS  # 0 to 9 in each byte that is a digit, the first one lowest
        others = ((digits + _TO_TOP) | digits) & _TOPS  # a carry reaches only bytes behind the first non-digit
        if others == 0:
            value = value * _TEN_TO[8] + _eight_digits(digits)
            at += 8
            continue
        count = trailing_zeros(others) >> 3
        kept = (digits << np.uint64(56 - 8 * count)) << np.uint64(8)
        return value * _TEN_TO[count] + _eight_digits(kept), at + count


@compiled
def _eight_digits(digits):
    """The number that eight digits represent, the highest digit in the lowest byte: by pairs, fours, eight."""
    digits = ((digits * _PAIRS) >> np.uint64(8)) & _TWO_OF_FOUR
    digits = ((digits * _FOURS) >> np.uint64(16)) & _FOUR_OF_EIGHT
    return (digits * _EIGHT) >> np.uint64(32)


@compiled
def to_half(value):
    """The bits of the float16 nearest to `value` (ties to even), as uint16; |value| at most 65504."""
    bits = bits_of(value)
    sign = (bits >> np.uint64(48)) & np.uint64(0x8000)
    exponent = np.int64((bits >> np.uint64(52)) & np.uint64(0x7FF)) - 1023
    fraction = bits & np.uint64((1 << 52) - 1)
    if exponent < -25:
        return np.uint16(sign)
    if exponent < -14:  # subnormal: the leading one is written out
        shift = np.uint64(28 - exponent)
        fraction |= np.uint64(1 << 52)
        half = fraction >> shift
    else:
        shift = np.uint64(42)
        half = (np.uint64(exponent + 15) << np.uint64(10)) + (fraction >> shift)
    rest = fraction & ((np.uint64(1) << shift) - np.uint64(1))
    middle = np.uint64(1) << (shift - np.uint64(1))
    # ties go to even; rounding up may carry into the exponent, as it should
    half += np.uint64(rest + (half & np.uint64(1)) > middle)
    return np.uint16(sign | half)
