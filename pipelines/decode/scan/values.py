"""Values: of observation fields into their columns, and of step keys, checked against each other."""

from __future__ import annotations

import numpy as np

from pipelines.decode.scan.arrays import (
    CHECKED_ACTION,
    CHECKED_CANDIDATES,
    GIMMICK_NAMES,
    IS_BITS,
    IS_FLAG,
    IS_ID,
    IS_NAME,
    IS_NUMBER,
    LABEL_NAMES,
    find,
)
from pipelines.decode.scan.compiling import compiled, merged
from pipelines.decode.scan.grammar import (
    CLOSE_LIST,
    COMMA,
    NULL,
    OPEN_LIST,
    PLAIN,
    four,
    read_bool,
    read_string,
    spaces,
)
from pipelines.decode.scan.machine import byte
from pipelines.decode.scan.numbers import DOUBT, read_number, to_half
from poke_bc.contract.actions import ALL_ACTIONS, LABELS, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS, TEAM_SLOTS
from poke_bc.contract.field import FLAGS_A_COLUMN
from poke_bc.contract.trajectory import FLOAT32_MAX, STEP_KEYS

STEP_KEY_COUNT = len(STEP_KEYS)
(OBSERVATION_KEY, _TYPE, _TARGET, _REWARD, DONE, _LEGAL, _LABEL, _CANDIDATES, _GIMMICK, _WEIGHT) = range(STEP_KEY_COUNT)
assert STEP_KEYS == ("observation", "action_type", "action_target", "reward", "done", "legal", "label", "candidates",
                     "gimmick", "weight")
MISSING = np.nan
_OBSERVED, _CENSORED = LABELS.index("observed"), LABELS.index("censored")
_EXACT_INTEGER = 2.0**53
_HALF_ONE = 0x3C00


@merged
def read_step_value(data, at, key, schema):
    """(value of a step key, NaN if null; end). Sets of actions become bits, names their index."""
    if four(data, at) == NULL:
        return MISSING, at + 4
    if key == _LEGAL or key == _CANDIDATES:
        return _read_actions(data, at)
    if key == _LABEL or key == _GIMMICK:
        name, end = _read_name(data, at, LABEL_NAMES if key == _LABEL else GIMMICK_NAMES, schema)
        return float(name), end if name >= 0 else DOUBT
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


@merged
def _read_name(data, at, table, schema):
    """A name -> (what it means by a table, -1 where it is not in there; end)."""
    end, holds = read_string(data, at)
    if end == DOUBT or holds != PLAIN:
        return -1, DOUBT
    return find(data, at + 1, end - at - 2, table, schema), end


@compiled
def _may_be_integer(figure):
    return np.isnan(figure) or is_small_integer(figure)


@compiled
def finish_step(row, rows):
    """Check the row's scalars as read and fill in defaults; False where they contradict each other."""
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
    """Whether a float64 is a whole number, small enough to be exact."""
    return abs(figure) < _EXACT_INTEGER and figure == np.floor(figure)


@merged
def read_field(data, at, key, row, schema, rows):
    """The value or values of a field into its columns: the position behind them."""
    width = schema.fields[key].width
    column = schema.fields[key].column
    kind = schema.fields[key].kind
    values = rows.category if kind <= IS_NAME else rows.number
    if width > 1:
        if byte(data, at) != OPEN_LIST:
            return DOUBT
        at = spaces(data, at + 1)
    word = 0
    for place in range(width):
        if kind == IS_BITS:
            flag, at = read_bool(data, at)
            word |= flag << place % FLAGS_A_COLUMN
            if place % FLAGS_A_COLUMN == FLAGS_A_COLUMN - 1 or place == width - 1:
                values[row, column + place // FLAGS_A_COLUMN] = to_half(float(word))
                word = 0
        else:
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
        name, end = _read_name(data, at, schema.fields[key].table, schema)
        return np.uint16(max(name, 0)), end
    if kind == IS_FLAG:
        flag, end = read_bool(data, at)
        return np.uint16(_HALF_ONE * flag), end
    figure, end, whole = read_number(data, at)
    if not schema.fields[key].low <= figure <= schema.fields[key].high:
        return np.uint16(0), DOUBT
    if kind != IS_NUMBER and not whole and figure != np.floor(figure):
        return np.uint16(0), DOUBT
    if kind == IS_ID:
        return np.uint16(figure), end
    return to_half(figure + 0.0), end
