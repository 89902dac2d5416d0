"""Keys: which one comes next, whether it is a duplicate, and whether it repeats an earlier step byte for byte.

A key and value that repeat an earlier step need not be parsed: the columns can be copied from that row.
"""

from __future__ import annotations

from pipelines.decode.scan.arrays import (
    AT,
    FOLLOWER,
    MORE,
    NAME_AT,
    NAME_LENGTH,
    PREFIX,
    ROW,
    SEEN_IN,
    SPAN,
    THERE,
    VALUES,
    WHERE,
    find,
    hash_bytes,
)
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
def copy_counts(memory, source, target):
    """Copy the current counts (0) over those before the line (1), or the reverse."""
    for field in range(memory.present.shape[1]):
        memory.present[target, field] = memory.present[source, field]
    for number in range(memory.counts[1]):
        memory.unknown[number, VALUES + target] = memory.unknown[number, VALUES + source]


@compiled
def forget(memory):
    """Restore the counts before the line, and forget its rows, which will be overwritten."""
    copy_counts(memory, 1, 0)
    for key in range(len(memory.keys)):
        memory.keys[key, AT] = -1


@compiled
def begin_object(memory):
    """A new number for an object, by which duplicate keys are detected."""
    memory.counts[0] += 1
    return memory.counts[0]


@compiled
def read_key(data, at, where, schema, memory):
    """The key whose quote is at `at`, and its colon: (its number or NO_KEY, position of its value)."""
    end, holds = read_string(data, at)
    if end == DOUBT or holds != PLAIN:
        return NO_KEY, DOUBT
    return find(data, at + 1, end - at - 2, where, schema), after_colon(data, end)


@compiled
def skip_unknown(data, begin, value, where, depth, this, memory):
    """End of the value of an unknown key, which is counted unless null."""
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
            memory.unknown[number, NAME_AT] = begin
            memory.unknown[number, NAME_LENGTH] = length
            memory.unknown[number, WHERE] = where
            break
        if (memory.unknown[number, WHERE] == where and memory.unknown[number, NAME_LENGTH] == length
                and common_bytes(data, memory.unknown[number, NAME_AT], begin, length) == length):
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
    """The key that followed `last` before, if it is at `at` again, or NO_KEY; and whether its value is the same."""
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
    """Record how a key and its value are written: the position of the next key or the closing brace, or DOUBT."""
    end = after_value(data, end)
    if end == DOUBT:
        return DOUBT
    memory.keys[key, AT] = at
    memory.keys[key, PREFIX] = value - at
    memory.keys[key, SPAN] = end - at
    memory.keys[key, MORE] = byte(data, end) == QUOTE
    memory.keys[key, ROW] = row
    memory.keys[key, THERE] = there
    memory.keys[last, FOLLOWER] = key
    return end


@compiled
def after_value(data, at):
    """The position of the next key or the closing brace after a value that ended at `at`, or DOUBT."""
    if at == DOUBT:
        return DOUBT
    at = spaces(data, at)
    if byte(data, at) == COMMA:
        at = spaces(data, at + 1)
        return at if byte(data, at) == QUOTE else DOUBT
    return at if byte(data, at) == CLOSE_OBJECT else DOUBT
