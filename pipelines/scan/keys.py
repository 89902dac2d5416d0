"""Keys: which one stands here, whether it did in this object before, and whether all is as in an earlier step.

A key with its value, written byte for byte as before, need not be read: its columns can be copied from that row.
"""

from __future__ import annotations

import numpy as np

from pipelines.scan.compiling import compiled
from pipelines.scan.grammar import (
    CLOSE_OBJECT,
    COMMA,
    NULL,
    PLAIN,
    QUOTE,
    after_colon,
    common_bytes,
    four,
    read_string,
    skip_value,
    spaces,
)
from pipelines.scan.machine import byte, word
from pipelines.scan.numbers import DOUBT
from pipelines.scan.plan import (
    AT,
    FOLLOWER,
    MORE,
    NAME_AT,
    NAME_LENGTH,
    PLACE,
    PREFIX,
    ROW,
    SEEN_IN,
    SPAN,
    THERE,
    VALUES,
    VALUES_BEFORE,
    hash_bytes,
)

NO_KEY = -1
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(9)], np.uint64)


@compiled
def keep_counts(memory):
    """The counts before a line."""
    for field in range(memory.present.shape[1]):
        memory.present[1, field] = memory.present[0, field]
    for number in range(memory.counts[1]):
        memory.unknown[number, VALUES_BEFORE] = memory.unknown[number, VALUES]


@compiled
def forget(memory):
    """The counts as they were before the line; and nothing of its rows, which will be overwritten."""
    for field in range(memory.present.shape[1]):
        memory.present[0, field] = memory.present[1, field]
    for number in range(memory.counts[1]):
        memory.unknown[number, VALUES] = memory.unknown[number, VALUES_BEFORE]
    for key in range(len(memory.keys)):
        memory.keys[key, AT] = -1


@compiled
def begin_object(memory):
    """A number for an object, to tell whether a key was seen in it."""
    memory.counts[0] += 1
    return memory.counts[0]


@compiled
def read_key(data, at, where, plan, memory):
    """The key whose quote is at `at`, with its colon: (its number or NO_KEY, where it stands, where its value does)."""
    end, holds = read_string(data, at)
    if end == DOUBT or holds != PLAIN:
        return NO_KEY, at, DOUBT
    length = end - at - 2
    slots = plan.key_slots[where]
    mask = len(slots) - 1
    place = hash_bytes(data, at + 1, length) & mask
    value = after_colon(data, end)
    while True:
        key = np.int64(slots[place]) - 1
        if key < 0:
            return NO_KEY, at, value
        if plan.keys[key, 1] == length and is_name(data, at + 1, plan.names, plan.keys[key, 0], length):
            return key, at, value
        place = (place + 1) & mask


@compiled
def is_name(data, at, names, first, length):
    """Whether a name stands at `at`."""
    count = 0
    while count + 8 <= length:
        if word(data, at + count) != word(names, first + count):
            return False
        count += 8
    return (word(data, at + count) ^ word(names, first + count)) & _MASKS[length - count] == 0


@compiled
def skip_unknown(data, begin, value, where, depth, this, memory):
    """Behind the value of an unknown key, which is counted unless null."""
    end, _ = read_string(data, begin)
    length = end - begin
    mask = len(memory.unknown_slots) - 1
    place = (hash_bytes(data, begin, length) + where) & mask
    while True:
        number = np.int64(memory.unknown_slots[place]) - 1
        if number < 0:
            number = memory.counts[1]
            if number == len(memory.unknown):
                return DOUBT
            memory.counts[1] += 1
            memory.unknown_slots[place] = number + 1
            memory.unknown[number, NAME_AT] = begin
            memory.unknown[number, NAME_LENGTH] = length
            memory.unknown[number, PLACE] = where
            break
        first = memory.unknown[number, NAME_AT]
        if (memory.unknown[number, PLACE] == where and memory.unknown[number, NAME_LENGTH] == length
                and common_bytes(data, first, begin, length) == length):
            break
        place = (place + 1) & mask
    if memory.unknown[number, SEEN_IN] == this:
        return DOUBT
    memory.unknown[number, SEEN_IN] = this
    after = skip_value(data, value, depth, memory.nested)
    if after != DOUBT and not (after == value + 4 and four(data, value) == NULL):
        memory.unknown[number, VALUES] += 1
    return after


@compiled
def repeats(data, at, last, memory):
    """What stands at `at` of the key that followed `last` before: (key or NO_KEY, all of it or only its prefix)."""
    key = memory.keys[last, FOLLOWER]
    before = memory.keys[key, AT]
    if before < 0:
        return NO_KEY, False
    span = memory.keys[key, SPAN]
    common = common_bytes(data, before, at, span)
    more = memory.keys[key, MORE]
    if common == span and (more == 1 or (more == 0 and byte(data, at + span) == CLOSE_OBJECT)):
        return key, True
    return (key if common >= memory.keys[key, PREFIX] else NO_KEY), False


@compiled
def remember(data, at, value, end, key, last, row, there, memory):
    """Note how a key with its value is written; returns the next key's place, the closing brace's, or DOUBT."""
    end = spaces(data, end)
    more = byte(data, end) == COMMA
    if more:
        end = spaces(data, end + 1)
        if byte(data, end) != QUOTE:
            return DOUBT
    elif byte(data, end) != CLOSE_OBJECT:
        return DOUBT
    memory.keys[key, AT] = at
    memory.keys[key, PREFIX] = value - at
    memory.keys[key, SPAN] = end - at
    memory.keys[key, MORE] = more
    memory.keys[key, ROW] = row
    memory.keys[key, THERE] = there
    memory.keys[last, FOLLOWER] = key
    return end


@compiled
def after_unknown(data, at):
    """The next key's place, the closing brace's, or DOUBT."""
    if at == DOUBT:
        return DOUBT
    at = spaces(data, at)
    if byte(data, at) == COMMA:
        at = spaces(data, at + 1)
        return at if byte(data, at) == QUOTE else DOUBT
    return at if byte(data, at) == CLOSE_OBJECT else DOUBT
