"""Lines of trajectories -> packed rows, in one pass over the bytes.

The kernel knows the schema, so that a value goes from its text straight into its column. Two things make it fast.
Steps of a battle are written alike: the key that followed last time is expected first, and where a key with its
value stands there byte for byte as in an earlier step, the columns are copied and nothing is read at all. And
whatever it does not fully understand, it does not judge: the line is noted as doubtful, for the exact reader.

Places in the text are int64; DOUBT is none. `row` is the row being filled.
"""

from __future__ import annotations

import numpy as np

from pipelines.scan.compiling import compiled, entry, merged
from pipelines.scan.grammar import (
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
from pipelines.scan.keys import (
    NO_KEY,
    after_unknown,
    begin_object,
    forget,
    keep_counts,
    read_key,
    remember,
    repeats,
    skip_unknown,
)
from pipelines.scan.machine import byte
from pipelines.scan.numbers import DOUBT, read_number
from pipelines.scan.plan import (
    AT,
    COLUMN,
    IS_NAME,
    KIND,
    MORE,
    OBSERVATION,
    PREFIX,
    ROW,
    SEEN,
    SPAN,
    STEP,
    THERE,
    TOP,
    TOP_KEYS,
    WIDTH,
)
from pipelines.scan.values import (
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
def scan_lines(data, at, stop, line, row, trajectory, doubts, plan, rows, tops, memory):
    """Read the lines that begin in [at, stop): (next line's number, rows, trajectories, doubtful lines) by then.

    The last of them ends with a newline, and PADDING bytes lie behind it. Of doubtful lines -1 says that there are
    more than `tops` has room for; then the rest is not read.
    """
    while at < stop:
        here = spaces(data, at)
        if byte(data, here) == NEWLINE:
            at = here + 1
            line += 1
            continue
        keep_counts(memory)
        end, next_row = _read_line(data, here, row, trajectory, plan, rows, tops, memory)
        if end == DOUBT:
            end = here
            while byte(data, end) != NEWLINE:
                end += 1
            if doubts == len(tops.doubts):
                return line, row, trajectory, -1
            tops.doubts[doubts, 0] = line
            tops.doubts[doubts, 1] = at
            tops.doubts[doubts, 2] = end
            tops.doubts[doubts, 3] = trajectory
            doubts += 1
            forget(memory)
        else:
            tops.lines[trajectory, 0] = next_row - row
            tops.lines[trajectory, 1] = line
            row = next_row
            trajectory += 1
        at = end + 1
        line += 1
    return line, row, trajectory, doubts


@compiled
def _read_line(data, at, row, trajectory, plan, rows, tops, memory):
    """One object up to its newline: (the newline's place, next free row)."""
    first_row = row
    if byte(data, at) != OPEN_OBJECT or trajectory == len(tops.lines):
        return DOUBT, row
    for key in range(_TOPS):
        tops.spans[trajectory, key, 0] = -1
        tops.figures[trajectory, key] = MISSING
    fields = len(plan.fields)
    this = begin_object(memory)
    at = spaces(data, at + 1)
    if byte(data, at) == CLOSE_OBJECT:
        return DOUBT, row
    while True:
        key, begin, value = read_key(data, at, TOP, plan, memory)
        if value == DOUBT:
            return DOUBT, row
        if key == NO_KEY:
            at = skip_unknown(data, begin, value, TOP, 1, this, memory)
        else:
            if memory.keys[key, SEEN] == this:
                return DOUBT, row
            memory.keys[key, SEEN] = this
            key -= fields + STEP_KEY_COUNT
            if key == _TOPS:
                at, row = _read_steps(data, value, row, plan, rows, memory)
            elif four(data, value) == NULL:
                at = value + 4
            elif _IS_TEXT[key]:
                at, holds = read_string(data, value)
                if at == DOUBT or holds == SURROGATE:
                    return DOUBT, row
                tops.spans[trajectory, key, 0] = value + 1
                tops.spans[trajectory, key, 1] = at - 1
                tops.spans[trajectory, key, 2] = holds != PLAIN
            else:
                figure, at, _ = read_number(data, value)
                if not abs(figure) <= FLOAT32_MAX:
                    return DOUBT, row
                if key == _GEN and not is_small_integer(figure):
                    return DOUBT, row
                tops.figures[trajectory, key] = figure + 0.0
        if at == DOUBT:
            return DOUBT, row
        at = spaces(data, at)
        here = byte(data, at)
        if here == CLOSE_OBJECT:
            break
        if here != COMMA:
            return DOUBT, row
        at = spaces(data, at + 1)
    at = spaces(data, at + 1)
    begin = tops.spans[trajectory, _REPLAY_ID, 0]
    player = tops.spans[trajectory, _PLAYER, 0]
    if (byte(data, at) != NEWLINE or row == first_row or begin < 0 or begin == tops.spans[trajectory, _REPLAY_ID, 1]
            or player < 0 or tops.spans[trajectory, _PLAYER, 1] != player + 2 or byte(data, player) != _P
            or (byte(data, player + 1) != _ONE and byte(data, player + 1) != _TWO)):
        return DOUBT, row
    return at, row


@compiled
def _read_steps(data, at, row, plan, rows, memory):
    """The list of steps: (place behind it, next free row)."""
    if byte(data, at) != OPEN_LIST:
        return DOUBT, row
    at = spaces(data, at + 1)
    first_row = row
    while True:
        if row == len(rows.scalars) or row - first_row == MAX_STEPS:
            return DOUBT, row
        at = _read_step(data, at, row, plan, rows, memory)
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
def _read_step(data, at, row, plan, rows, memory):
    """One step into its row: the place behind it."""
    if byte(data, at) != OPEN_OBJECT:
        return DOUBT
    for key in range(STEP_KEY_COUNT):
        rows.scalars[row, key] = MISSING
    fields = len(plan.fields)
    last = fields + STEP_KEY_COUNT + STEP
    this = begin_object(memory)
    at = spaces(data, at + 1)
    if byte(data, at) == CLOSE_OBJECT:
        return DOUBT
    while True:
        key, whole = repeats(data, at, last, memory)
        if whole:
            if memory.keys[key, SEEN] == this:
                return DOUBT
            memory.keys[key, SEEN] = this
            rows.scalars[row, key - fields] = rows.scalars[memory.keys[key, ROW], key - fields]
            memory.keys[key, AT] = at
            memory.keys[key, ROW] = row
            at += memory.keys[key, SPAN]
            last = key
            if memory.keys[key, MORE] == 1:
                continue
            break
        begin = at
        if key == NO_KEY:
            key, _, value = read_key(data, at, STEP, plan, memory)
        else:
            value = spaces(data, at + memory.keys[key, PREFIX])
        if value == DOUBT:
            return DOUBT
        if key == NO_KEY:
            at = after_unknown(data, skip_unknown(data, begin, value, STEP, 3, this, memory))
            if at == DOUBT:
                return DOUBT
        else:
            if memory.keys[key, SEEN] == this:
                return DOUBT
            memory.keys[key, SEEN] = this
            if key == fields + OBSERVATION_KEY:
                end = _read_observation(data, value, row, plan, rows, memory)
                rows.scalars[row, OBSERVATION_KEY] = 1.0
            else:
                figure, end = read_step_value(data, value, key - fields)
                rows.scalars[row, key - fields] = figure
            if end == DOUBT:
                return DOUBT
            at = remember(data, begin, value, end, key, last, row, 1, memory)
            if at == DOUBT:
                return DOUBT
            if key == fields + OBSERVATION_KEY:  # only its prefix can be met again
                memory.keys[key, SPAN] = memory.keys[key, PREFIX]
                memory.keys[key, MORE] = -1
            last = key
        if byte(data, at) == CLOSE_OBJECT:
            break
    if np.isnan(rows.scalars[row, OBSERVATION_KEY]) or byte(data, at) != CLOSE_OBJECT:
        return DOUBT
    return at + 1


@merged
def _read_observation(data, at, row, plan, rows, memory):
    """One observation into its columns: the place behind it."""
    if byte(data, at) != OPEN_OBJECT:
        return DOUBT
    for column in range(rows.category.shape[1]):
        rows.category[row, column] = plan.category_default[column]
    for column in range(rows.number.shape[1]):
        rows.number[row, column] = plan.number_default[column]
    last = len(plan.fields) + STEP_KEY_COUNT + OBSERVATION
    this = begin_object(memory)
    at = spaces(data, at + 1)
    if byte(data, at) == CLOSE_OBJECT:
        return at + 1
    while True:
        key, whole = repeats(data, at, last, memory)
        if whole:
            if memory.keys[key, SEEN] == this:
                return DOUBT
            memory.keys[key, SEEN] = this
            column = plan.fields[key, COLUMN]
            before = memory.keys[key, ROW]
            values = rows.category if plan.fields[key, KIND] <= IS_NAME else rows.number
            for place in range(column, column + plan.fields[key, WIDTH]):
                values[row, place] = values[before, place]
            memory.present[0, key] += memory.keys[key, THERE]
            memory.keys[key, AT] = at
            memory.keys[key, ROW] = row
            at += memory.keys[key, SPAN]
            last = key
            if memory.keys[key, MORE] == 1:
                continue
            return at + 1
        begin = at
        if key == NO_KEY:
            key, _, value = read_key(data, at, OBSERVATION, plan, memory)
        else:
            value = spaces(data, at + memory.keys[key, PREFIX])
        if value == DOUBT:
            return DOUBT
        if key == NO_KEY:
            at = after_unknown(data, skip_unknown(data, begin, value, OBSERVATION, 4, this, memory))
            if at == DOUBT:
                return DOUBT
        else:
            if memory.keys[key, SEEN] == this:
                return DOUBT
            memory.keys[key, SEEN] = this
            there = four(data, value) != NULL
            end = read_field(data, value, key, row, plan, rows) if there else value + 4
            if end == DOUBT:
                return DOUBT
            memory.present[0, key] += there
            at = remember(data, begin, value, end, key, last, row, there, memory)
            if at == DOUBT:
                return DOUBT
            last = key
        if byte(data, at) == CLOSE_OBJECT:
            return at + 1
