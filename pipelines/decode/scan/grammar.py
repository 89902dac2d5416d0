r"""JSON's grammar, strictly: white space, strings, literals, and values that are only skipped.

Every function takes a position in the text and returns the position after what it read, or DOUBT. A newline ends a line
and is never skipped, so nothing here reads past the end of its line.
"""

from __future__ import annotations

import numpy as np

from pipelines.decode.scan.compiling import compiled
from pipelines.decode.scan.machine import byte, trailing_zeros, word
from pipelines.decode.scan.numbers import DOUBT, read_number
from poke_bc.contract.nesting import DEEPEST

QUOTE, BACKSLASH, COMMA, COLON = ord('"'), ord("\\"), ord(","), ord(":")
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = ord("{"), ord("}"), ord("["), ord("]")
SPACE, TAB, RETURN, NEWLINE = ord(" "), ord("\t"), ord("\r"), ord("\n")

_E, _F, _T, _U = map(ord, "eftu")
_HEX = np.full(256, -1)
_HEX[[*b"0123456789abcdef"]] = range(16)
_HEX[[*b"ABCDEF"]] = range(10, 16)
_IS_ESCAPE = np.zeros(256, np.bool_)
_IS_ESCAPE[[*b'"\\/bfnrt']] = True

PLAIN, ESCAPED, SURROGATE = 0, 1, 2
"""What a string contains other than plain characters: nothing, escapes, or escapes for UTF-16 surrogates."""

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES = np.uint64(0x2020202020202020)

TRUE = np.uint64(int.from_bytes(b"true", "little"))
FALSE = np.uint64(int.from_bytes(b"fals", "little"))
NULL = np.uint64(int.from_bytes(b"null", "little"))
_FOUR_BYTES = np.uint64(0xFFFFFFFF)

_MOST_KEYS = 256  # of all open objects inside one unknown value; more are left to the exact reader


@compiled
def spaces(data, at):
    """The position after white space other than newlines."""
    here = byte(data, at)
    while here == SPACE or here == TAB or here == RETURN:
        at += 1
        here = byte(data, at)
    return at


@compiled
def four(data, at):
    """The four bytes from `at` on as uint64."""
    return word(data, at) & _FOUR_BYTES


@compiled
def read_bool(data, at):
    """(0 or 1, end). There is no branch between the two, which would be mispredicted half of the time."""
    letters = four(data, at)
    is_true = np.int64(letters == TRUE)
    is_false = np.int64(letters == FALSE) & np.int64(byte(data, at + 4) == _E)
    if is_true | is_false == 0:
        return 0, DOUBT
    return is_true, at + 4 + is_false


@compiled
def read_string(data, at):
    """A string of valid UTF-8 and valid escapes: (end, PLAIN, ESCAPED or SURROGATE)."""
    holds = PLAIN
    if byte(data, at) != QUOTE:
        return DOUBT, holds
    at += 1
    while True:
        text = word(data, at)
        ends = text ^ _QUOTES
        bars = text ^ _BACKSLASHES
        # lowest bit set: the first byte that is a quote, a backslash, a control character, or not ASCII
        stops = (((ends - _ONES) & ~ends) | ((bars - _ONES) & ~bars) | ((text - _SPACES) & ~text) | text) & _TOPS
        if stops == 0:
            at += 8
            continue
        at += trailing_zeros(stops) >> 3
        here = byte(data, at)
        if here == QUOTE:
            return at + 1, holds
        if here == BACKSLASH:
            at, found = _escape(data, at)
            holds = max(holds, found)
        elif here >= 0x80:
            at = _wide_character(data, at)
        else:
            return DOUBT, holds
        if at == DOUBT:
            return DOUBT, holds


@compiled
def _escape(data, at):
    """An escape: (end, ESCAPED or SURROGATE)."""
    letter = byte(data, at + 1)
    if _IS_ESCAPE[letter]:
        return at + 2, ESCAPED
    if letter != _U:
        return DOUBT, ESCAPED
    value = 0
    for place in range(2, 6):
        digit = _HEX[byte(data, at + place)]
        if digit < 0:
            return DOUBT, ESCAPED
        value = value * 16 + digit
    return at + 6, SURROGATE if 0xD800 <= value < 0xE000 else ESCAPED


@compiled
def _wide_character(data, at):
    """End of a multibyte character; Unicode 15, table 3-7: shortest forms, no surrogates, up to U+10FFFF."""
    lead = byte(data, at)
    second = byte(data, at + 1)
    low, high = 0x80, 0xBF
    if 0xC2 <= lead <= 0xDF:
        more = 0
    elif 0xE0 <= lead <= 0xEF:
        more = 1
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        more = 2
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return DOUBT
    if second < low or second > high:
        return DOUBT
    at += 2
    for _ in range(more):
        if byte(data, at) & 0xC0 != 0x80:
            return DOUBT
        at += 1
    return at


@compiled
def common_bytes(data, first, second, limit):
    """The number of equal bytes starting at both positions, at most `limit`."""
    count = 0
    while count < limit:
        differing = word(data, first + count) ^ word(data, second + count)
        if differing != 0:
            return min(count + (trailing_zeros(differing) >> 3), limit)
        count += 8
    return limit


@compiled
def skip_value(data, at, depth, keys):
    """End of any value, which is checked and not kept; `depth` brackets are open around it.

    `keys` (of room_for_keys) holds the positions of the keys of all open objects, to detect duplicates, followed by the
    number of the first one at each depth.
    """
    outer = depth
    known = 0  # keys of all open objects
    in_object = np.uint64(0)  # bit d: what opened at depth d is an object
    while True:
        # a value begins at `at`
        here = byte(data, at)
        closed = True
        if here == QUOTE:
            at, _ = read_string(data, at)
        elif here == OPEN_OBJECT or here == OPEN_LIST:
            depth += 1
            if depth > DEEPEST:
                return DOUBT
            bit = np.uint64(1) << np.uint64(depth - 1)
            keys[_MOST_KEYS + depth, 0] = known
            at = spaces(data, at + 1)
            if here == OPEN_OBJECT:
                in_object |= bit
                if byte(data, at) != CLOSE_OBJECT:
                    at, known = _next_key(data, at, keys[_MOST_KEYS + depth, 0], known, keys)
                    closed = False
            else:
                in_object &= ~bit
                closed = byte(data, at) == CLOSE_LIST
        elif four(data, at) == NULL:
            at += 4
        elif here == _T or here == _F:
            _, at = read_bool(data, at)
        else:
            _, at, _ = read_number(data, at)
        if at == DOUBT:
            return DOUBT
        if not closed:
            continue
        # a value has ended at `at`, or an empty list or object is about to
        while True:
            if depth == outer:
                return at
            at = spaces(data, at)
            here = byte(data, at)
            is_object = (in_object >> np.uint64(depth - 1)) & np.uint64(1) == np.uint64(1)
            if here == (CLOSE_OBJECT if is_object else CLOSE_LIST):
                known = keys[_MOST_KEYS + depth, 0]
                depth -= 1
                at += 1
                continue
            if here != COMMA:
                return DOUBT
            at = spaces(data, at + 1)
            if is_object:
                at, known = _next_key(data, at, keys[_MOST_KEYS + depth, 0], known, keys)
                if at == DOUBT:
                    return DOUBT
            break


@compiled
def _next_key(data, at, first, known, keys):
    """A key and its colon: (position of its value, keys known so far)."""
    end, holds = read_string(data, at)
    if end == DOUBT or holds != PLAIN or known == _MOST_KEYS:
        return DOUBT, known
    for other in range(first, known):
        if keys[other, 1] == end - at and common_bytes(data, keys[other, 0], at, end - at) == end - at:
            return DOUBT, known
    keys[known, 0] = at
    keys[known, 1] = end - at
    return after_colon(data, end), known + 1


@compiled
def after_colon(data, at):
    """The position after a colon and the white space around it."""
    if byte(data, at) != COLON:
        at = spaces(data, at)
        if byte(data, at) != COLON:
            return DOUBT
    return spaces(data, at + 1)


def room_for_keys() -> np.ndarray:
    """The `keys` of skip_value."""
    return np.empty((_MOST_KEYS + DEEPEST + 1, 2), np.int64)
