"""Lines of trajectories -> packed rows, in one pass over the bytes.

The kernel knows the schema, so that a value goes from its text straight into its column. Two things make it fast.
Steps of a battle are written alike: the key that came next last time is expected first, and where a key with its
value is written byte for byte as in an earlier step, the columns are copied and nothing is read at all. And it never
judges: a line that it does not fully understand is noted as doubtful, for the exact reader.

Positions in the text are int64; DOUBT is none. `row` is the row being filled.
"""

from __future__ import annotations

import numpy as np

from pipelines.decode.scan.arrays import IS_NAME, OBSERVATION, STEP, TOP, TOP_KEYS
from pipelines.decode.scan.compiling import compiled, entry, merged
from pipelines.decode.scan.grammar import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COMMA,
    NEWLINE,
    NULL,
    OPEN_LIST,
    OPEN_OBJECT,
    PLAIN,
    SURROGATE,
    four,
    read_string,
    spaces,
)
from pipelines.decode.scan.keys import (
    NO_KEY,
    after_value,
    begin_object,
    forget,
    keep_counts,
    read_key,
    remember,
    repeats,
    skip_unknown,
)
from pipelines.decode.scan.machine import byte
from pipelines.decode.scan.numbers import DOUBT, read_number
from pipelines.decode.scan.values import (
    DONE,
    MISSING,
    OBSERVATION_KEY,
    STEP_KEY_COUNT,
    finish_step,
    is_small_integer,
    read_field,
    read_step_value,
)
from poke_bc.contract.rows import MAX_STEPS
from poke_bc.contract.trajectory import FLOAT32_MAX, TRAJECTORY_KEYS

_TOPS = len(TRAJECTORY_KEYS)
_REPLAY_ID, _PLAYER, _GEN = (list(TRAJECTORY_KEYS).index(name) for name in ("replay_id", "player", "gen"))
_IS_TEXT = np.array([kind is str for kind in TRAJECTORY_KEYS.values()])
assert TOP_KEYS[_TOPS] == "steps"
_P, _ONE, _TWO = map(ord, "p12")


@entry
def scan_lines(data, at, stop, line, row, trajectory, doubts, schema, rows, lines, memory):
    """Read the lines that begin in [at, stop): (next line's number, rows, trajectories, doubtful lines) by then.

    The last of them ends with a newline, and PADDING bytes follow. -1 doubtful lines: there are more than `lines` has
    room for, and the rest was not read.
    """
    while at < stop:
        here = spaces(data, at)
        if byte(data, here) == NEWLINE:
            at = here + 1
            line += 1
            continue
        keep_counts(memory)
        end, next_row = _read_line(data, here, row, trajectory, schema, rows, lines, memory)
        if end == DOUBT:
            end = here
            while byte(data, end) != NEWLINE:
                end += 1
            if doubts == len(lines.doubts):
                return line, row, trajectory, -1
            lines.doubts[doubts, 0] = line
            lines.doubts[doubts, 1] = at
            lines.doubts[doubts, 2] = end
            doubts += 1
            forget(memory)
        else:
            lines.lines[trajectory, 0] = next_row - row
            lines.lines[trajectory, 1] = line
            row = next_row
            trajectory += 1
        at = end + 1
        line += 1
    return line, row, trajectory, doubts


@compiled
def _read_line(data, at, row, trajectory, schema, rows, lines, memory):
    """One object up to its newline: (the newline's position, next free row)."""
    first_row = row
    if byte(data, at) != OPEN_OBJECT or trajectory == len(lines.lines):
        return DOUBT, row
    for key in range(_TOPS):
        lines.spans[trajectory, key, 0] = -1
        lines.figures[trajectory, key] = MISSING
    first_key = len(schema.fields) + STEP_KEY_COUNT
    this = begin_object(memory)
    at = spaces(data, at + 1)
    while True:
        key, value = read_key(data, at, TOP, schema, memory)
        if value == DOUBT:
            return DOUBT, row
        if key == NO_KEY:
            at = skip_unknown(data, at, value, TOP, 1, this, memory)
        else:
            if memory.keys[key].seen == this:
                return DOUBT, row
            memory.keys[key].seen = this
            key -= first_key
            if key == _TOPS:
                at, row = _read_steps(data, value, row, schema, rows, memory)
            elif four(data, value) == NULL:
                at = value + 4
            elif _IS_TEXT[key]:
                at, holds = read_string(data, value)
                if holds == SURROGATE:
                    return DOUBT, row
                lines.spans[trajectory, key, 0] = value + 1
                lines.spans[trajectory, key, 1] = at - 1
                lines.spans[trajectory, key, 2] = holds != PLAIN
            else:
                figure, at, _ = read_number(data, value)
                if not abs(figure) <= FLOAT32_MAX or (key == _GEN and not is_small_integer(figure)):
                    return DOUBT, row
                lines.figures[trajectory, key] = figure + 0.0
        at = after_value(data, at)
        if at == DOUBT:
            return DOUBT, row
        if byte(data, at) == CLOSE_OBJECT:
            break
    at = spaces(data, at + 1)
    begin = lines.spans[trajectory, _REPLAY_ID, 0]
    player = lines.spans[trajectory, _PLAYER, 0]
    if (byte(data, at) != NEWLINE or row == first_row or begin < 0 or begin == lines.spans[trajectory, _REPLAY_ID, 1]
            or player < 0 or lines.spans[trajectory, _PLAYER, 1] != player + 2 or byte(data, player) != _P
            or (byte(data, player + 1) != _ONE and byte(data, player + 1) != _TWO)):
        return DOUBT, row
    return at, row


@compiled
def _read_steps(data, at, row, schema, rows, memory):
    """The list of steps: (position behind it, next free row)."""
    if byte(data, at) != OPEN_LIST:
        return DOUBT, row
    at = spaces(data, at + 1)
    first_row = row
    while True:
        if row == len(rows.scalars) or row - first_row == MAX_STEPS:
            return DOUBT, row
        at = _read_step(data, at, row, schema, rows, memory)
        if at == DOUBT or not finish_step(row, rows):
            return DOUBT, row
        row += 1
        at = spaces(data, at)
        here = byte(data, at)
        if here == CLOSE_LIST:
            return at + 1, row
        if here != COMMA or rows.scalars[row - 1, DONE]:
            return DOUBT, row
        at = spaces(data, at + 1)


@merged
def _read_step(data, at, row, schema, rows, memory):
    """One step, with the observation inside, into its row: the position behind it. One loop reads both objects."""
    if byte(data, at) != OPEN_OBJECT:
        return DOUBT
    for key in range(STEP_KEY_COUNT):
        rows.scalars[row, key] = MISSING
    fields = len(schema.fields)
    observation = fields + OBSERVATION_KEY
    before_first = fields + STEP_KEY_COUNT
    where = STEP
    last = before_first + STEP
    step = this = begin_object(memory)
    outer_at, outer_value, outer_last = at, at, last
    at = spaces(data, at + 1)
    while True:
        begin = value = at
        key, whole = repeats(data, at, last, memory)
        if key == NO_KEY:
            key, value = read_key(data, at, where, schema, memory)
            if value == DOUBT:
                return DOUBT
        elif not whole:
            value = spaces(data, at + memory.keys[key].prefix)
        if key != NO_KEY:
            if memory.keys[key].seen == this:
                return DOUBT
            memory.keys[key].seen = this
        if whole:
            before = memory.keys[key].row
            if where == OBSERVATION:
                column = schema.fields[key].column
                values = rows.category if schema.fields[key].kind <= IS_NAME else rows.number
                for place in range(column, column + schema.fields[key].columns):
                    values[row, place] = values[before, place]
                memory.present[0, key] += memory.keys[key].valid
            else:
                rows.scalars[row, key - fields] = rows.scalars[before, key - fields]
            memory.keys[key].at = at
            memory.keys[key].row = row
            at += memory.keys[key].span
            last = key
            if memory.keys[key].more == 1:
                continue
        elif key == NO_KEY:
            at = after_value(data, skip_unknown(data, begin, value, where, 3 + (where == OBSERVATION), this, memory))
        elif key == observation:
            if byte(data, value) != OPEN_OBJECT:
                return DOUBT
            outer_at, outer_value, outer_last = begin, value, last
            where = OBSERVATION
            last = before_first + OBSERVATION
            this = begin_object(memory)
            rows.scalars[row, OBSERVATION_KEY] = 1.0
            for column in range(rows.category.shape[1]):
                rows.category[row, column] = schema.category_default[column]
            for column in range(rows.number.shape[1]):
                rows.number[row, column] = schema.number_default[column]
            at = spaces(data, value + 1)
        else:
            there = four(data, value) != NULL
            end = value + 4
            if where == STEP:
                rows.scalars[row, key - fields], end = read_step_value(data, value, key - fields, schema)
            elif there:
                end = read_field(data, value, key, row, schema, rows)
            if end == DOUBT:
                return DOUBT
            if where == OBSERVATION:
                memory.present[0, key] += there
            at = remember(data, begin, value, end, key, last, row, there, memory)
            last = key
        if at == DOUBT:
            return DOUBT
        if byte(data, at) == CLOSE_OBJECT and where == OBSERVATION:
            at = remember(data, outer_at, outer_value, at + 1, observation, outer_last, row, 1, memory)
            if at == DOUBT:
                return DOUBT
            memory.keys[observation].span = memory.keys[observation].prefix  # only its prefix can be met again
            memory.keys[observation].more = -1
            where, last, this = STEP, observation, step
        if byte(data, at) == CLOSE_OBJECT:
            return DOUBT if np.isnan(rows.scalars[row, OBSERVATION_KEY]) else at + 1
