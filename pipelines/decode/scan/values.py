"""Values: of observation fields into their columns, and of step keys, checked against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.decode.scan.arrays import (
    CHECKED_ACTION,
    CHECKED_CANDIDATES,
    COLUMN,
    IS_FLAG,
    IS_ID,
    IS_NAME,
    IS_NUMBER,
    KIND,
    LOW_BYTES,
    VOCABULARY,
    WIDTH,
    hash_bytes,
)
from pipelines.decode.scan.compiling import compiled, merged
from pipelines.decode.scan.grammar import (
    CLOSE_LIST,
    COMMA,
    NULL,
    OPEN_LIST,
    PLAIN,
    QUOTE,
    four,
    read_bool,
    read_string,
    spaces,
)
from pipelines.decode.scan.keys import is_name
from pipelines.decode.scan.machine import byte, word
from pipelines.decode.scan.numbers import DOUBT, read_number, to_half
from poke_bc.contract.actions import ALL_ACTIONS, GIMMICKS, LABELS, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS, TEAM_SLOTS
from poke_bc.contract.trajectory import FLOAT32_MAX, STEP_KEYS

STEP_KEY_COUNT = len(STEP_KEYS)
(OBSERVATION_KEY, _TYPE, _TARGET, _REWARD, DONE, _LEGAL, _LABEL, _CANDIDATES, _GIMMICK, _WEIGHT) = range(STEP_KEY_COUNT)
assert STEP_KEYS == ("observation", "action_type", "action_target", "reward", "done", "legal", "label", "candidates",
                     "gimmick", "weight")
MISSING = np.nan
_OBSERVED, _CENSORED = LABELS.index("observed"), LABELS.index("censored")
_EXACT_INTEGER = 2.0**53
_HALF_ONE = 0x3C00


def _words(names: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Each of some names of at most 15 bytes, its closing quote behind it, as two words; and their lengths."""
    quoted = [name.encode() + b'"' for name in names]
    assert max(map(len, quoted)) <= 16
    return np.array([[int.from_bytes(name[:8], "little"), int.from_bytes(name[8:], "little")] for name in quoted],
                    np.uint64), np.array([len(name) for name in quoted])


_LABEL_WORDS, _LABEL_LENGTHS = _words(LABELS)
_GIMMICK_WORDS, _GIMMICK_LENGTHS = _words(GIMMICKS)


@compiled
def read_step_value(data, at, key):
    """(value of a step key or NaN where null, end); sets of actions as bits, names as their place."""
    if four(data, at) == NULL:
        return MISSING, at + 4
    if key == _LEGAL or key == _CANDIDATES:
        return _read_actions(data, at)
    if key == _LABEL:
        return _read_name(data, at, _LABEL_WORDS, _LABEL_LENGTHS)
    if key == _GIMMICK:
        return _read_name(data, at, _GIMMICK_WORDS, _GIMMICK_LENGTHS)
    if key == DONE:
        done, end = read_bool(data, at)
        return float(done), end
    figure, end, _ = read_number(data, at)
    if not abs(figure) <= FLOAT32_MAX:
        return MISSING, DOUBT
    return figure + 0.0, end


@compiled
def _read_actions(data, at):
    """Ten booleans -> (bits, end)."""
    if byte(data, at) != OPEN_LIST:
        return MISSING, DOUBT
    at = spaces(data, at + 1)
    bits = 0
    for action in range(NUM_ACTIONS):
        is_open, at = read_bool(data, at)
        if at == DOUBT:
            return MISSING, DOUBT
        bits |= is_open << action
        at = spaces(data, at)
        if byte(data, at) != (COMMA if action < NUM_ACTIONS - 1 else CLOSE_LIST):
            return MISSING, DOUBT
        at += 1
        if action < NUM_ACTIONS - 1:
            at = spaces(data, at)
    if bits == 0:
        return MISSING, DOUBT
    return float(bits), at


@compiled
def _read_name(data, at, words, lengths):
    """One of a few names -> (its place among them, end)."""
    if byte(data, at) != QUOTE:
        return MISSING, DOUBT
    for place in range(len(lengths)):
        first = min(lengths[place], 8)
        if (word(data, at + 1) & LOW_BYTES[first] == words[place, 0]
                and word(data, at + 1 + first) & LOW_BYTES[lengths[place] - first] == words[place, 1]):
            return float(place), at + 1 + lengths[place]
    return MISSING, DOUBT


@compiled
def _may_be_integer(figure):
    return np.isnan(figure) or is_small_integer(figure)


@compiled
def finish_step(row, rows):
    """Check and complete the row's scalars as read; False where they cannot be together."""
    scalars = rows.scalars[row]
    label = _OBSERVED if np.isnan(scalars[_LABEL]) else np.int64(scalars[_LABEL])
    action = NO_LABEL
    kind, target = scalars[_TYPE], scalars[_TARGET]
    if not (np.isnan(kind) or np.isnan(target)):
        if not (kind == 0 or kind == 1) or target != np.floor(target):
            return False
        if target < 0 or target >= (TEAM_SLOTS if kind == 1 else MOVE_SLOTS):
            return False
        action = np.int64(MOVE_SLOTS * kind + target)
    elif label == _OBSERVED or not (_may_be_integer(kind) and _may_be_integer(target)):
        return False
    legal = 0 if np.isnan(scalars[_LEGAL]) else np.int64(scalars[_LEGAL])
    candidates = 0 if np.isnan(scalars[_CANDIDATES]) else np.int64(scalars[_CANDIDATES])
    if legal and label == _OBSERVED and not legal >> action & 1:
        return False
    if legal and label == _CENSORED and candidates & (ALL_ACTIONS ^ legal):
        return False
    weight = 1.0 if np.isnan(scalars[_WEIGHT]) else scalars[_WEIGHT]
    if weight < 0:
        return False
    scalars[_LEGAL] = legal
    scalars[CHECKED_CANDIDATES] = candidates if label == _CENSORED else 0
    scalars[CHECKED_ACTION] = action if label == _OBSERVED else NO_LABEL
    scalars[_GIMMICK] = 0.0 if np.isnan(scalars[_GIMMICK]) else scalars[_GIMMICK]
    scalars[DONE] = scalars[DONE] == 1.0
    scalars[_WEIGHT] = weight
    scalars[_REWARD] = 0.0 if np.isnan(scalars[_REWARD]) else scalars[_REWARD]
    return True


@compiled
def is_small_integer(figure):
    """Whether a float64 is a whole number, and which one is beyond doubt."""
    return abs(figure) < _EXACT_INTEGER and figure == np.floor(figure)


@merged
def read_field(data, at, key, row, schema, rows):
    """The value or values of a field into its columns: the place behind them."""
    width = schema.fields[key, WIDTH]
    column = schema.fields[key, COLUMN]
    kind = schema.fields[key, KIND]
    values = rows.category if kind <= IS_NAME else rows.number
    if width > 1:
        if byte(data, at) != OPEN_LIST:
            return DOUBT
        at = spaces(data, at + 1)
    for place in range(width):
        values[row, column + place], at = _read_value(data, at, key, kind, schema)
        if at == DOUBT:
            return DOUBT
        if width > 1:
            at = spaces(data, at)
            last = place == width - 1
            if byte(data, at) != (CLOSE_LIST if last else COMMA):
                return DOUBT
            at = at + 1 if last else spaces(data, at + 1)
    return at


@merged
def _read_value(data, at, key, kind, schema):
    """One value -> (an id, or the bits of a float16; end)."""
    if kind == IS_NAME:
        return _name_id(data, at, schema.fields[key, VOCABULARY], schema)
    if kind == IS_FLAG:
        flag, end = read_bool(data, at)
        return np.uint16(_HALF_ONE * flag), end
    figure, end, whole = read_number(data, at)
    if not schema.ranges[key, 0] <= figure <= schema.ranges[key, 1]:
        return np.uint16(0), DOUBT
    if kind != IS_NUMBER and not whole and figure != np.floor(figure):
        return np.uint16(0), DOUBT
    if kind == IS_ID:
        return np.uint16(figure), end
    return to_half(figure + 0.0), end


@merged
def _name_id(data, at, vocabulary, schema):
    """A name -> (its id, 0 where the vocabulary lacks it; end)."""
    end, holds = read_string(data, at)
    if end == DOUBT or holds != PLAIN:
        return np.uint16(0), DOUBT
    length = end - at - 2
    first, mask = schema.vocabularies[vocabulary, 0], schema.vocabularies[vocabulary, 1]
    place = hash_bytes(data, at + 1, length) & mask
    while True:
        name = schema.entry_slots[first + place] - 1
        if name < 0:
            return np.uint16(0), end
        if schema.entries[name, 1] == length and is_name(data, at + 1, schema.names, schema.entries[name, 0], length):
            return np.uint16(schema.entries[name, 2]), end
        place = (place + 1) & mask
