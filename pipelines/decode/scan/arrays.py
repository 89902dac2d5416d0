"""What the kernel reads and fills: a schema, rows, lines and its memory as flat arrays, no Python objects.

    F observation fields   S step keys   T trajectories   N rows   C category columns   K number columns

Few arrays with several columns instead of many arrays: each one costs time in every call and in compilation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.decode.scan.compiling import compiled, entry
from pipelines.decode.scan.machine import PADDING, word
from poke_bc.contract.nesting import DEEPEST
from poke_bc.contract.schema import FLAG, INTEGER, NUMBER, Field, Schema
from poke_bc.contract.trajectory import STEP_KEYS, TRAJECTORY_KEYS

IS_ID, IS_NAME, IS_NUMBER, IS_INTEGER, IS_FLAG = range(5)
TOP_KEYS = (*TRAJECTORY_KEYS, "steps")
OBSERVATION, STEP, TOP = range(3)
"""The kind of object a key belongs to."""

MOST_NESTED_KEYS = 256
"""Keys of all open objects together inside one unknown value; more are left to the exact reader."""
LOW_BYTES = np.array([(1 << (8 * count)) - 1 for count in range(9)], np.uint64)
"""Masks of the lowest 0 to 8 bytes of a word."""

_MOST_UNKNOWN = 256
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class SchemaArrays(NamedTuple):
    """A schema. Keys are numbered: the F fields, then STEP_KEYS, then TOP_KEYS."""

    names: NDArray[np.uint8]
    """The bytes of all names, of keys and in vocabularies, one after the other, padded."""
    keys: NDArray[np.int64]
    """[keys, 2] where a key's name begins in `names`, and its length."""
    key_slots: NDArray[np.int32]
    """[3, slots] hash tables of the keys of each kind of object: key + 1, 0 where free."""
    fields: NDArray[np.int64]
    """[F, 4] KIND, WIDTH, COLUMN, VOCABULARY."""
    ranges: NDArray[np.float64]
    """[F, 2] lowest and highest value."""
    entries: NDArray[np.int64]
    """[names, 3] of closed vocabularies: where a name begins in `names`, its length, its id."""
    entry_slots: NDArray[np.int32]
    """Hash tables of entries, one vocabulary after the other: entry + 1, 0 where free."""
    vocabularies: NDArray[np.int64]
    """[V, 2] where a vocabulary's table begins in `entry_slots`, and its size less one."""
    category_default: NDArray[np.uint16]
    number_default: NDArray[np.uint16]


KIND, WIDTH, COLUMN, VOCABULARY = range(4)


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
    """[D, 4] of doubtful lines: number, first byte, byte behind the last, trajectories before it."""


class Memory(NamedTuple):
    """What the kernel remembers of one text."""

    keys: NDArray[np.int64]
    """[keys, 8] how each key was written last, in the columns below; one cache line each."""
    present: NDArray[np.int64]
    """[2, F] steps with a value of each field: by now, and before this line."""
    unknown: NDArray[np.int64]
    """[U, 6] unknown keys, in the columns below."""
    unknown_slots: NDArray[np.int32]
    counts: NDArray[np.int64]
    """[2] objects begun, unknown keys known."""
    nested: NDArray[np.int64]
    """Room for grammar.skip_value."""


AT, PREFIX, SPAN, MORE, ROW, THERE, FOLLOWER, SEEN = range(8)
"""Columns of Memory.keys: position of the opening quote (-1: none yet); bytes from there to the value; to the next key
or the closing brace; whether a key followed (1), a brace (0), or the value does not count (-1); the row it filled;
whether it was not null; the key that came next; the object it was last seen in."""

NAME_AT, NAME_LENGTH, WHERE, SEEN_IN, VALUES, VALUES_BEFORE = range(6)
"""Columns of Memory.unknown."""


@compiled
def hash_bytes(data, at, count):
    """An int64, at least 0, that depends on `count` bytes from `at` on."""
    mixed = np.uint64(count) * _MULTIPLIER
    while count > 0:
        mixed = (mixed ^ (word(data, at) & LOW_BYTES[min(count, 8)])) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        at += 8
        count -= 8
    return np.int64((mixed ^ (mixed >> np.uint64(32))) >> np.uint64(1))


@entry
def _enter(names, first, length, slots, start, stop, origin):
    """Enter the names [start, stop), numbered from `origin`, into a table whose size is a power of two."""
    mask = len(slots) - 1
    for number in range(start, stop):
        place = hash_bytes(names, first[number], length[number]) & mask
        while slots[place]:
            place = (place + 1) & mask
        slots[place] = number - origin + 1


def schema_arrays(schema: Schema) -> SchemaArrays:
    """The arrays for a schema."""
    fields = schema.fields
    keys = [*(field.name for field in fields), *STEP_KEYS, *TOP_KEYS]
    closed = {name: vocabulary.ids for name, vocabulary in schema.vocabularies.items() if not vocabulary.is_open}
    encoded = [name.encode() for name in [*keys, *(word_ for ids in closed.values() for word_ in ids)]]
    names = np.frombuffer(b"".join(encoded) + bytes(PADDING), np.uint8)
    length = np.array([len(name) for name in encoded], np.int64)
    first = np.cumsum(length) - length
    borders = [0, len(fields), len(fields) + len(STEP_KEYS), len(keys)]
    key_slots = np.zeros((3, _table_size(len(keys))), np.int32)
    for where in (OBSERVATION, STEP, TOP):
        _enter(names, first, length, key_slots[where], borders[where], borders[where + 1], 0)
    slots, vocabularies, start = [np.zeros(0, np.int32)], [], len(keys)
    for ids in closed.values():
        table = np.zeros(_table_size(len(ids)), np.int32)
        _enter(names, first, length, table, start, start + len(ids), len(keys))
        vocabularies.append((sum(map(len, slots)), len(table) - 1))
        slots.append(table)
        start += len(ids)
    place_of = {name: place for place, name in enumerate(closed)}
    return SchemaArrays(
        names=names, keys=np.stack([first, length], axis=1)[: len(keys)].copy(), key_slots=key_slots,
        fields=np.array([(_kind(field, schema), field.width, schema.columns[field.name].start,
                          place_of.get(field.vocab, 0)) for field in fields], np.int64),
        ranges=np.array([(field.low, field.high) for field in fields], np.float64),
        entries=np.stack([first[len(keys):], length[len(keys):],
                          np.array([id_ for ids in closed.values() for id_ in ids.values()], np.int64)], axis=1),
        entry_slots=np.concatenate(slots), vocabularies=np.array(vocabularies, np.int64).reshape(-1, 2),
        category_default=np.array([field.default for field in schema.categories for _ in range(field.width)],
                                  np.uint16),
        number_default=np.array([field.default for field in schema.numbers for _ in range(field.width)],
                                np.float16).view(np.uint16))


def _kind(field: Field, schema: Schema) -> int:
    if field.is_category:
        return IS_ID if schema.vocabularies[field.vocab].is_open else IS_NAME
    return {NUMBER: IS_NUMBER, INTEGER: IS_INTEGER, FLAG: IS_FLAG}[field.kind]


def _table_size(entries: int) -> int:
    return 1 << (2 * entries).bit_length()


def room_for_rows(schema: Schema, most: int) -> RowArrays:
    """Room for `most` rows; memory is taken only as it is filled."""
    return RowArrays(category=np.empty((most, schema.category_width), np.uint16),
                     number=np.empty((most, schema.number_width), np.uint16),
                     scalars=np.empty((most, len(STEP_KEYS) + 2)))


def room_for_lines(most: int, most_doubts: int) -> LineArrays:
    """Room for `most` trajectories and `most_doubts` doubtful lines."""
    keys = len(TRAJECTORY_KEYS)
    return LineArrays(spans=np.empty((most, keys, 3), np.int64), figures=np.empty((most, keys)),
                      lines=np.empty((most, 2), np.int64), doubts=np.empty((most_doubts, 4), np.int64))


def new_memory(schema: Schema) -> Memory:
    """A memory of nothing; it serves for one text."""
    fields = len(schema.fields)
    known = fields + len(STEP_KEYS)
    keys = np.zeros((known + max(2, len(TOP_KEYS)), 8), np.int64)  # two more: before the first key of an object
    keys[:, AT] = -1
    keys[:, FOLLOWER] = known  # which never follows anything
    return Memory(keys=keys, present=np.zeros((2, fields), np.int64), unknown=np.zeros((_MOST_UNKNOWN, 6), np.int64),
                  unknown_slots=np.zeros(4 * _MOST_UNKNOWN, np.int32), counts=np.zeros(2, np.int64),
                  nested=np.empty((MOST_NESTED_KEYS + DEEPEST + 1, 2), np.int64))
