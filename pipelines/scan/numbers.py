"""JSON numbers: text -> float64 as Python's `float` reads it, and float64 -> float16 as NumPy rounds it."""

from __future__ import annotations

import numpy as np

from pipelines.scan.compiling import compiled
from pipelines.scan.machine import bits_of, byte, float_of, high_product, leading_zeros, trailing_zeros, word

DOUBT = -1
"""An end that says: not understood, let the exact reader look."""

_ZERO, _NINE, _MINUS, _PLUS, _POINT, _SMALL_E, _LARGE_E = 48, 57, 45, 43, 46, 101, 69
_MOST_DIGITS = 19  # all such whole numbers fit uint64
_EXACT = np.uint64(1 << 53)
_TEN_TO = np.array([10**power for power in range(9)], np.uint64)
_TENS = np.array([float(f"1e{power}") for power in range(23)])  # all exact
_ZEROS = np.uint64(0x3030303030303030)
_TO_TOP = np.uint64(0x7676767676767676)  # added to more than 9, it sets a byte's highest bit
_TOPS = np.uint64(0x8080808080808080)
_PAIRS, _FOURS, _EIGHT = np.uint64(1 + (10 << 8)), np.uint64(1 + (100 << 16)), np.uint64(1 + (10_000 << 32))
_TWO_OF_FOUR, _FOUR_OF_EIGHT = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_LEAST_POWER, _LARGEST_POWER = -342, 308


def _powers_of_five() -> np.ndarray:
    """5^q for q in [-342, 308], each as the upper 128 bits of its normalised value: [651, 2] uint64, high word first.

    Cut off for q >= 0, rounded up for q < 0, as the algorithm wants (Lemire 2021, appendix B).
    """
    rows = []
    for power in range(_LEAST_POWER, _LARGEST_POWER + 1):
        if power >= 0:
            five = 5**power
            length = five.bit_length()
            value = five << (128 - length) if length <= 128 else five >> (length - 128)
        else:
            five = 5**-power
            shift = five.bit_length() + 127
            value = (1 << shift) // five + 1
            assert value.bit_length() == 128
        rows.append((value >> 64, value & ((1 << 64) - 1)))
    return np.array(rows, np.uint64)


_FIVES = _powers_of_five()


@compiled
def read_number(data, at):
    """The number that begins at `at`: (value, end, whole). `end` is DOUBT where it is none, or a hard one.

    `whole` says that it has neither fraction nor exponent. Hard are more than 19 digits, and results that are
    subnormal, infinite, or not settled by 128 bits.
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
        digits += at - fraction
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
        begin = at
        exponent = 0
        digit = byte(data, at) - _ZERO
        while 0 <= digit <= 9:
            exponent = min(exponent * 10 + digit, 100_000)
            at += 1
            digit = byte(data, at) - _ZERO
        if at == begin:
            return 0.0, DOUBT, False
        power += -exponent if down else exponent
    if mantissa < _EXACT and -22 <= power <= 22:
        # both exact in float64, so that one operation rounds once (Clinger 1990)
        value = float(mantissa)
        value = value / _TENS[-power] if power < 0 else value * _TENS[power]
    elif mantissa == 0:
        value = 0.0
    else:
        value = _scaled(mantissa, power)
        if value < 0:
            return 0.0, DOUBT, False
    return (-value if negative else value), at, whole


@compiled
def _read_digits(data, at, value):
    """`value` with the digits that begin at `at` written behind it, modulo 2^64: (that, end).

    Eight at a time and without asking how many: numbers of different lengths would be guessed wrong each time.
    """
    while True:
        digits = word(data, at) ^ _ZEROS  # 0 to 9 in each byte that is a digit, the first one lowest
        others = ((digits + _TO_TOP) | digits) & _TOPS  # what carries comes behind the first that is none
        if others == 0:
            value = value * _TEN_TO[8] + _eight_digits(digits)
            at += 8
            continue
        count = trailing_zeros(others) >> 3
        kept = (digits << np.uint64(56 - 8 * count)) << np.uint64(8)
        return value * _TEN_TO[count] + _eight_digits(kept), at + count


@compiled
def _eight_digits(digits):
    """The number that eight bytes of 0 to 9 are, the highest digit in the lowest byte: pairs, fours, eight."""
    digits = ((digits * _PAIRS) >> np.uint64(8)) & _TWO_OF_FOUR
    digits = ((digits * _FOURS) >> np.uint64(16)) & _FOUR_OF_EIGHT
    return (digits * _EIGHT) >> np.uint64(32)


@compiled
def _scaled(mantissa, power):
    """mantissa x 10^power, correctly rounded; -1 where that takes more than is done here.

    D. Lemire, "Number parsing at a gigabyte per second", 2021, algorithm 1.
    """
    if power < _LEAST_POWER or power > _LARGEST_POWER:
        return -1.0
    zeros = leading_zeros(mantissa)
    mantissa <<= np.uint64(zeros)
    high_five = _FIVES[power - _LEAST_POWER, 0]
    high = high_product(mantissa, high_five)
    low = mantissa * high_five
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more = high_product(mantissa, _FIVES[power - _LEAST_POWER, 1])
        low += more
        if low < more:
            high += np.uint64(1)
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (power < -27 or power > 55):
        return -1.0
    upper = high >> np.uint64(63)
    significand = high >> (upper + np.uint64(9))
    exponent = (((152170 + 65536) * power) >> 16) + 63 + np.int64(upper) - zeros + 1023
    if exponent <= 0:
        return -1.0
    if low <= np.uint64(1) and -4 <= power <= 23 and significand & np.uint64(3) == np.uint64(1) and \
            significand << (upper + np.uint64(9)) == high:
        significand &= ~np.uint64(1)  # half way: to even
    significand += significand & np.uint64(1)
    significand >>= np.uint64(1)
    if significand >= np.uint64(1 << 53):
        significand = np.uint64(1 << 52)
        exponent += 1
    if exponent >= 0x7FF:
        return -1.0
    return float_of((significand & np.uint64((1 << 52) - 1)) | (np.uint64(exponent) << np.uint64(52)))


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
    # half way goes to even; and rounding up may carry into the exponent, as it should
    half += np.uint64(rest + (half & np.uint64(1)) > middle)
    return np.uint16(sign | half)
