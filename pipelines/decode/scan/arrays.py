"""What the kernel reads and fills: a schema, rows, lines and its memory as flat arrays, no Python objects.

    F observation fields   S step keys   T trajectories   N rows   C category columns   K number columns

Few arrays with several columns instead of many arrays: each one costs time in every call and in compilation.
"""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.decode.scan.compiling import compiled, entry, merged
from pipelines.decode.scan.grammar import room_for_keys
from pipelines.decode.scan.machine import PADDING, word
from poke_bc.contract.actions import GIMMICKS, LABELS
from poke_bc.contract.field import BITS, FLAG, INTEGER, NUMBER, Field
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import STEP_KEYS, TRAJECTORY_KEYS

IS_ID, IS_NAME, IS_NUMBER, IS_INTEGER, IS_FLAG, IS_BITS = range(6)
TOP_KEYS = (*TRAJECTORY_KEYS, "steps")
OBSERVATION, STEP, TOP, LABEL_NAMES, GIMMICK_NAMES, FIRST_VOCABULARY = range(6)
"""Tables of names: the keys of each kind of object, values of step keys, closed vocabularies."""

_MOST_UNKNOWN = 256
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LOW_BYTES = np.array([(1 << (8 * count)) - 1 for count in range(9)], np.uint64)


FIELD = np.dtype([
    ("kind", np.int64), ("width", np.int64),  # values
    ("column", np.int64), ("columns", np.int64),
    ("table", np.int64),  # of names, for a category whose vocabulary is closed
    ("low", np.float64), ("high", np.float64)], align=True)


class SchemaArrays(NamedTuple):
    """A schema. Keys are numbered: the F fields, then STEP_KEYS, then TOP_KEYS."""

    text: NDArray[np.uint8]
    """The bytes of all names, one after the other, padded."""
    names: NDArray[np.int64]
    """[names, 3] where a name begins in `text`, its length, and what it means: a key, an id, a place in LABELS."""
    slots: NDArray[np.int32]
    """Hash tables, one after the other: name + 1, 0 where free."""
    tables: NDArray[np.int64]
    """[tables, 2] where a table begins in `slots`, and its size less one."""
    fields: NDArray[Any]
    """[F] of FIELD."""
    category_default: NDArray[np.uint16]
    number_default: NDArray[np.uint16]


class RowArrays(NamedTuple):
    """What becomes of steps."""

    category: NDArray[np.uint16]
    """[N, C]"""
    number: NDArray[np.uint16]
    """[N, K] bits of float16."""
    scalars: NDArray[np.float64]
    """[N, S + 2] STEP_KEYS as they were read, defaults filled in; then CHECKED_ACTION and CHECKED_CANDIDATES."""


CHECKED_ACTION, CHECKED_CANDIDATES = len(STEP_KEYS), len(STEP_KEYS) + 1
"""Columns of RowArrays.scalars: as a shard has them, which depends on the label."""


class LineArrays(NamedTuple):
    """What becomes of lines."""

    spans: NDArray[np.int64]
    """[T, keys, 3] strings by TRAJECTORY_KEYS: first byte (-1 where missing), byte behind the last, whether escaped."""
    figures: NDArray[np.float64]
    """[T, keys] numbers by TRAJECTORY_KEYS, NaN where missing."""
    lines: NDArray[np.int64]
    """[T, 2] rows, line number."""
    doubts: NDArray[np.int64]
    """[D, 3] of doubtful lines: number, first byte, byte behind the last."""


KEY = np.dtype([
    ("at", np.int64),  # position of its opening quote; -1: not written yet
    ("prefix", np.int64),  # bytes from there to the value
    ("span", np.int64),  # bytes from there to the next key or the closing brace
    ("more", np.int64),  # whether a key followed (1), a brace (0), or the value does not count (-1)
    ("row", np.int64),  # which it filled
    ("valid", np.int64),  # whether the value was not null
    ("follower", np.int64),  # the key that came next
    ("seen", np.int64),  # the object it was last seen in
], align=True)
"""How a key was written last: one cache line."""

UNKNOWN_KEY = np.dtype([
    ("at", np.int64), ("length", np.int64),  # its name with the quotes
    ("where", np.int64),  # the kind of object
    ("seen", np.int64),  # the object it was last seen in
    ("values", np.int64), ("before", np.int64),  # that were not null: by now, and before this line
], align=True)


class Memory(NamedTuple):
    """What the kernel remembers of one text."""

    keys: NDArray[Any]
    """[keys] of KEY."""
    present: NDArray[np.int64]
    """[2, F] steps with a value of each field: by now, and before this line."""
    unknown: NDArray[Any]
    """[U] of UNKNOWN_KEY."""
    unknown_slots: NDArray[np.int32]
    counts: NDArray[np.int64]
    """[2] objects begun, unknown keys known."""
    nested: NDArray[np.int64]
    """Room for grammar.skip_value."""


@compiled
def hash_bytes(data, at, length):
    """An int64, at least 0, that depends on `length` bytes from `at` on."""
    mixed = np.uint64(length) * _MULTIPLIER
    while length > 0:
        mixed = (mixed ^ (word(data, at) & _LOW_BYTES[min(length, 8)])) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        at += 8
        length -= 8
    return np.int64((mixed ^ (mixed >> np.uint64(32))) >> np.uint64(1))


@compiled
def _is_name(data, at, text, first, length):
    """Whether the name that begins at `first` in `text` is at `at`."""
    while length > 0:
        if (word(data, at) ^ word(text, first)) & _LOW_BYTES[min(length, 8)] != 0:
            return False
        at += 8
        first += 8
        length -= 8
    return True


@merged
def find(data, at, length, table, schema):
    """What the name at `at` means, by a table; -1 where it is not in there."""
    begin, mask = schema.tables[table, 0], schema.tables[table, 1]
    place = hash_bytes(data, at, length) & mask
    while True:
        name = schema.slots[begin + place] - 1
        if name < 0:
            return -1
        if schema.names[name, 1] == length and _is_name(data, at, schema.text, schema.names[name, 0], length):
            return schema.names[name, 2]
        place = (place + 1) & mask


@entry
def _enter(text, names, slots, start, stop):
    """Enter the names [start, stop) into a table whose size is a power of two."""
    mask = len(slots) - 1
    for name in range(start, stop):
        place = hash_bytes(text, names[name, 0], names[name, 1]) & mask
        while slots[place]:
            place = (place + 1) & mask
        slots[place] = name + 1


def schema_arrays(schema: Schema) -> SchemaArrays:
    """The arrays for a schema."""
    closed = [name for name, vocabulary in schema.vocabularies.items() if not vocabulary.is_open]
    keys = count()
    tables: list[dict[str, int]] = [
        *(dict(zip(names, keys, strict=False)) for names in ([field.name for field in schema.fields], STEP_KEYS,
                                                             TOP_KEYS)),
        *({name: place for place, name in enumerate(names)} for names in (LABELS, GIMMICKS)),
        *(dict(schema.vocabularies[name].ids) for name in closed)]
    encoded = [name.encode() for table in tables for name in table]
    length = np.array([len(name) for name in encoded], np.int64)
    text = np.frombuffer(b"".join(encoded) + bytes(PADDING), np.uint8)
    names = np.stack([np.cumsum(length) - length, length,
                      np.array([number for table in tables for number in table.values()], np.int64)], axis=1)
    sizes = np.array([1 << (2 * len(table)).bit_length() for table in tables], np.int64)
    begins = np.cumsum(sizes) - sizes
    slots = np.zeros(sizes.sum(), np.int32)
    stop = 0
    for table, begin, size in zip(tables, begins, sizes, strict=True):
        start, stop = stop, stop + len(table)
        _enter(text, names, slots[begin: begin + size], start, stop)
    return SchemaArrays(
        text=text, names=names, slots=slots, tables=np.stack([begins, sizes - 1], axis=1),
        fields=np.array([(_kind(field, schema), field.width, schema.columns[field.name].start, field.columns,
                          FIRST_VOCABULARY + closed.index(field.vocab) if field.vocab in closed else 0,
                          field.low, field.high) for field in schema.fields], FIELD),
        category_default=np.array([field.default for field in schema.categories for _ in range(field.width)],
                                  np.uint16),
        number_default=np.array([field.default for field in schema.numbers for _ in range(field.columns)],
                                np.float16).view(np.uint16))


def _kind(field: Field, schema: Schema) -> int:
    if field.is_category:
        return IS_ID if schema.vocabularies[field.vocab].is_open else IS_NAME
    return {NUMBER: IS_NUMBER, INTEGER: IS_INTEGER, FLAG: IS_FLAG, BITS: IS_BITS}[field.kind]


def room_for_rows(schema: Schema, most: int) -> RowArrays:
    """Room for `most` rows; memory is taken only as it is filled."""
    return RowArrays(category=np.empty((most, schema.category_width), np.uint16),
                     number=np.empty((most, schema.number_width), np.uint16),
                     scalars=np.empty((most, len(STEP_KEYS) + 2)))


def room_for_lines(most: int, most_doubts: int) -> LineArrays:
    """Room for `most` trajectories and `most_doubts` doubtful lines."""
    keys = len(TRAJECTORY_KEYS)
    return LineArrays(spans=np.empty((most, keys, 3), np.int64), figures=np.empty((most, keys)),
                      lines=np.empty((most, 2), np.int64), doubts=np.empty((most_doubts, 3), np.int64))


def new_memory(schema: Schema) -> Memory:
    """A memory of nothing; it serves for one text."""
    fields = len(schema.fields)
    known = fields + len(STEP_KEYS)
    keys = np.zeros(known + max(2, len(TOP_KEYS)), KEY)  # two more: before the first key of an object
    keys["at"] = -1
    keys["follower"] = known  # which never follows anything
    return Memory(keys=keys, present=np.zeros((2, fields), np.int64), unknown=np.zeros(_MOST_UNKNOWN, UNKNOWN_KEY),
                  unknown_slots=np.zeros(4 * _MOST_UNKNOWN, np.int32), counts=np.zeros(2, np.int64),
                  nested=room_for_keys())
