"""Keys: which one comes next, whether its object had it before, and whether all is written as in an earlier step.

A key with its value, written byte for byte as before, need not be read: its columns can be copied from that row.
"""

from __future__ import annotations

from pipelines.decode.scan.arrays import find, hash_bytes
from pipelines.decode.scan.compiling import compiled
from pipelines.decode.scan.grammar import (
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
from pipelines.decode.scan.machine import byte
from pipelines.decode.scan.numbers import DOUBT

NO_KEY = -1


@compiled
def keep_counts(memory):
    """Note the counts before a line."""
    for field in range(memory.present.shape[1]):
        memory.present[1, field] = memory.present[0, field]
    for number in range(memory.counts[1]):
        memory.unknown[number].before = memory.unknown[number].values


@compiled
def forget(memory):
    """Restore the counts before the line, and forget its rows, which will be overwritten."""
    for field in range(memory.present.shape[1]):
        memory.present[0, field] = memory.present[1, field]
    for number in range(memory.counts[1]):
        memory.unknown[number].values = memory.unknown[number].before
    for key in range(len(memory.keys)):
        memory.keys[key].at = -1


@compiled
def begin_object(memory):
    """A number for an object, to tell whether a key was seen in it."""
    memory.counts[0] += 1
    return memory.counts[0]


@compiled
def read_key(data, at, where, schema, memory):
    """The key whose quote is at `at`, with its colon: (its number or NO_KEY, position of its value)."""
    end, holds = read_string(data, at)
    if end == DOUBT or holds != PLAIN:
        return NO_KEY, DOUBT
    return find(data, at + 1, end - at - 2, where, schema), after_colon(data, end)


@compiled
def skip_unknown(data, begin, value, where, depth, this, memory):
    """Behind the value of an unknown key, which is counted unless null."""
    end, _ = read_string(data, begin)
    length = end - begin
    mask = len(memory.unknown_slots) - 1
    place = (hash_bytes(data, begin, length) + where) & mask
    while True:
        number = memory.unknown_slots[place] - 1
        if number < 0:
            number = memory.counts[1]
            if number == len(memory.unknown):
                return DOUBT
            memory.counts[1] += 1
            memory.unknown_slots[place] = number + 1
            memory.unknown[number].at = begin
            memory.unknown[number].length = length
            memory.unknown[number].where = where
            break
        if (memory.unknown[number].where == where and memory.unknown[number].length == length
                and common_bytes(data, memory.unknown[number].at, begin, length) == length):
            break
        place = (place + 1) & mask
    if memory.unknown[number].seen == this:
        return DOUBT
    memory.unknown[number].seen = this
    after = skip_value(data, value, depth, memory.nested)
    if after != DOUBT and not (after == value + 4 and four(data, value) == NULL):
        memory.unknown[number].values += 1
    return after


@compiled
def repeats(data, at, last, memory):
    """The key that came after `last` before, if it does again at `at`, or NO_KEY; and whether its value is the same."""
    key = memory.keys[last].follower
    before = memory.keys[key].at
    if before < 0:
        return NO_KEY, False
    span = memory.keys[key].span
    common = common_bytes(data, before, at, span)
    more = memory.keys[key].more
    if common == span and (more == 1 or (more == 0 and byte(data, at + span) == CLOSE_OBJECT)):
        return key, True
    return (key if common >= memory.keys[key].prefix else NO_KEY), False


@compiled
def remember(data, at, value, end, key, last, row, there, memory):
    """Note how a key with its value is written; the position of the next key or the closing brace, or DOUBT."""
    end = after_value(data, end)
    if end == DOUBT:
        return DOUBT
    memory.keys[key].at = at
    memory.keys[key].prefix = value - at
    memory.keys[key].span = end - at
    memory.keys[key].more = byte(data, end) == QUOTE
    memory.keys[key].row = row
    memory.keys[key].valid = there
    memory.keys[last].follower = key
    return end


@compiled
def after_value(data, at):
    """The position of the next key or of the closing brace behind a value that ended at `at`, or DOUBT."""
    if at == DOUBT:
        return DOUBT
    at = spaces(data, at)
    if byte(data, at) == COMMA:
        at = spaces(data, at + 1)
        return at if byte(data, at) == QUOTE else DOUBT
    return at if byte(data, at) == CLOSE_OBJECT else DOUBT
