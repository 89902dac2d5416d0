"""The fast reader: a whole text through Arrow, kept only where every check of the exact reader holds for all of it.

    N rows   T trajectories   W values of a field
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from pipelines.decoded import TRAJECTORY_SCHEMA, Decoded, finish
from poke_bc.contract.actions import ACTIONS, GIMMICKS, LABELS, MOVES, NO_LABEL, TEAM, pack_actions
from poke_bc.contract.nesting import DEEPEST, nesting, skeleton
from poke_bc.contract.rows import CATEGORY, MAX_STEPS, NUMBER
from poke_bc.contract.schema import FLAG, Field, Schema
from poke_bc.contract.schema import NUMBER as NUMBER_KIND
from poke_bc.contract.trajectory import FLOAT32_MAX, PLAYERS, TRAJECTORY_KEYS

_INFER_BYTES = 256 << 10  # up to this Arrow may infer what it likes


class NotSure(Exception):
    """The fast reader cannot vouch for a text; the exact one must look."""


def decode_fast(data: bytes, line: int, schema: Schema) -> Decoded:
    """All lines through Arrow. Raises NotSure unless every line is surely a good one."""
    lines = _line_numbers(data, line)
    table = _parse(data, schema)
    _sure(table.num_rows == len(lines))
    _sure(all(column.num_chunks == 1 for column in table.columns))
    # Not combine_chunks: it stumbles over the broken array that Arrow 26 makes of an unknown list of nulls.
    top = {name: table.column(name).chunk(0) for name in table.column_names}
    ids, players, steps = top["replay_id"], top["player"], top["steps"]
    _sure(not ids.null_count and not pc.any(pc.equal(ids, "")).as_py())
    _sure(pc.all(pc.is_in(players, pa.array(PLAYERS))).as_py() is not False and not players.null_count)
    counts_T = np.diff(steps.offsets.to_numpy())
    _sure(not steps.null_count and int(counts_T.min(initial=1)) > 0 and int(counts_T.max(initial=1)) <= MAX_STEPS)
    step = _fields(steps.values)
    observation = _fields(step["observation"])
    n = len(steps.values)

    present = Counter({field.name: n - observation[field.name].null_count for field in schema.fields})
    unknown = Counter({f"$.{name}": len(lines) - top[name].null_count for name in top
                       if name not in TRAJECTORY_KEYS and name != "steps"})
    unknown += Counter({f"$.steps[].{name}": n - step[name].null_count for name in step if name not in _STEP_TYPES})
    unknown += Counter({f"$.steps[].observation.{name}": n - observation[name].null_count for name in observation
                        if name not in schema.field_names})
    rewards_N = _float32s(step["reward"], 0.0)
    rows = {
        CATEGORY: _matrix(schema.categories, observation, schema, np.dtype(np.uint16)),
        NUMBER: _matrix(schema.numbers, observation, schema, np.dtype(np.float16)),
        "reward": rewards_N,
        "done": _done(step["done"], counts_T),
        "weight": _float32s(step["weight"], 1.0),
        "gimmick": _index_of(step["gimmick"], GIMMICKS),
        **_labels(step),
    }
    _sure(rows["weight"].min(initial=0.0) >= 0)
    totals_T = _totals(top["total_reward"], rewards_N, counts_T)
    for name in ("rating", "opponent_rating"):
        _float32s(top[name], 0.0)
        top[name] = pc.add(top[name], 0.0)  # -0.0 becomes 0.0
    trajectories = pa.table({**{name: top[name] for name in TRAJECTORY_KEYS}, "total_reward": totals_T,
                             "rows": counts_T.astype(np.uint32), "line": lines}, schema=TRAJECTORY_SCHEMA)
    finished = finish(rows, rewards_N, counts_T.astype(np.int64), totals_T, ids.to_pylist(), schema)
    return Decoded(finished, trajectories, +unknown, +present)


def _sure(holds: bool) -> None:
    if not holds:
        raise NotSure


def _line_numbers(data: bytes, line: int) -> NDArray[np.int64]:
    """Numbers of the lines that hold something; each must begin with "{" and end with "}".

    A newline between "}" and "{" cannot lie inside a JSON value, so there are then as many values as lines, or
    some line holds two.
    """
    _sure(bool(data))
    bare = skeleton(data)
    _sure(b"N" not in bare and b"I" not in bare and nesting(bare) <= DEEPEST)
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise NotSure from None
    bytes_ = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(bytes_ == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.append(0, ends[:-1] + 1)
    ends = ends - (bytes_[ends - 1] == ord("\r"))
    filled = ends > starts
    _sure(bool(filled.any()))
    _sure(bool((bytes_[starts[filled]] == ord("{")).all() and (bytes_[ends[filled] - 1] == ord("}")).all()))
    return np.flatnonzero(filled) + line


_STEP_TYPES = {
    "action_type": pa.int64(), "action_target": pa.int64(), "reward": pa.float64(), "done": pa.bool_(),
    "legal": pa.list_(pa.bool_()), "label": pa.string(), "candidates": pa.list_(pa.bool_()),
    "gimmick": pa.string(), "weight": pa.float64(), "observation": None,
}


def _parse(data: bytes, schema: Schema) -> pa.Table:
    """Arrow's JSON reader with exactly the types that the exact reader would accept.

    Arrow infers unknown keys, but each costs it a column over all rows: where keys are names, 3 MB of text took
    2.5 GB. So a long text may only hold unknown keys that its first lines hold; otherwise it is halved.
    """
    types = _types(schema)
    try:
        if len(data) <= _INFER_BYTES:
            return _read_json(data, types, "infer")
        try:
            return _read_json(data, types, "error")
        except pa.ArrowException:
            head = data[: data.rfind(b"\n", 0, _INFER_BYTES) + 1]
            learned = _types(schema, _read_json(head, types, "infer").schema)
            _sure(learned != types)
            return _read_json(data, learned, "error")
    except pa.ArrowException:
        raise NotSure from None


def _read_json(data: bytes, types: pa.Schema, unexpected: str) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=types, unexpected_field_behavior=unexpected))


def _types(schema: Schema, inferred: pa.Schema | None = None) -> pa.Schema:
    """Arrow's types of a trajectory; with the unknown keys of `inferred`, types as wide as they may become."""
    def with_unknown(known: list[pa.Field], found: Iterator[pa.Field] | None) -> list[pa.Field]:
        names = {each.name for each in known}
        return known + [each.with_type(_widened(each.type)) for each in found or () if each.name not in names]

    found_step = inferred.field("steps").type.value_type if inferred else None
    found_observation = found_step.field("observation").type if found_step else None
    observation = pa.struct(with_unknown(
        [pa.field(field.name, _field_type(field, schema)) for field in schema.fields], found_observation))
    step = pa.struct(with_unknown(
        [pa.field(name, kind or observation) for name, kind in _STEP_TYPES.items()], found_step))
    return pa.schema(with_unknown(
        [*(field for field in TRAJECTORY_SCHEMA if field.name in TRAJECTORY_KEYS), pa.field("steps", pa.list_(step))],
        inferred))


def _widened(kind: pa.DataType) -> pa.DataType:
    """A type for all values that a key may have whose first values were of type `kind`."""
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_widened(each.type)) for each in kind])
    if pa.types.is_list(kind):
        return pa.list_(_widened(kind.value_type))
    if pa.types.is_integer(kind):
        return pa.float64()
    return pa.string() if pa.types.is_temporal(kind) else kind


def _field_type(field: Field, schema: Schema) -> pa.DataType:
    if field.is_category:
        kind = pa.int64() if schema.vocabularies[field.vocab].is_open else pa.string()
    else:
        kind = {FLAG: pa.bool_(), NUMBER_KIND: pa.float64()}.get(field.kind, pa.int64())
    return kind if field.width == 1 else pa.list_(kind)


def _fields(struct: pa.Array) -> dict[str, pa.Array]:
    """Children of a struct array that may hold no null itself."""
    _sure(pa.types.is_struct(struct.type) and not struct.null_count)
    return {struct.type.field(place).name: struct.field(place) for place in range(struct.type.num_fields)}


def _matrix(fields: Sequence[Field], observation: dict[str, pa.Array], schema: Schema,
            dtype: np.dtype[Any]) -> NDArray[Any]:
    """Fields of one kind side by side: [N, sum of widths], checked and cast."""
    n = len(next(iter(observation.values()))) if observation else 0
    out = np.empty((n, sum(field.width for field in fields)), dtype)
    for field in fields:
        values = observation[field.name]
        there = None
        if field.width > 1:
            values, there = _fixed_lists(values, field.width)
        elif values.null_count:
            there = pc.is_valid(values).to_numpy(zero_copy_only=False)
            values = values.drop_null()
        _sure(not values.null_count)
        if pa.types.is_string(values.type):
            found = pc.index_in(values, pa.array(["", "none", *(schema.vocabularies[field.vocab].names or ())]))
            plain = pc.fill_null(found, 0).to_numpy()
        elif pa.types.is_boolean(values.type):
            plain = values.cast(pa.uint8()).to_numpy()
        else:
            plain = values.to_numpy()
            if len(plain):
                _sure(field.low <= plain.min() and plain.max() <= field.high)  # false for NaN
        target = out[:, schema.columns[field.name]]
        if there is None:
            target[:] = plain.reshape(-1, field.width)
        else:
            target[~there] = field.default
            target[there] = plain.reshape(-1, field.width)
    if dtype.kind == "f":
        out += dtype.type(0)  # -0.0 becomes 0.0
    return out


def _fixed_lists(lists: pa.ListArray, width: int) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Values of lists that must all have `width` items, and which rows have one (None: all)."""
    lengths = np.diff(lists.offsets.to_numpy())
    if not lists.null_count:
        _sure(bool((lengths == width).all()))
        return lists.values, None
    there: NDArray[np.bool_] = pc.is_valid(lists).to_numpy(zero_copy_only=False)
    _sure(bool((lengths == np.where(there, width, 0)).all()))
    return lists.values, there


def _float32s(values: pa.Array, default: float) -> NDArray[np.float64]:
    """Finite numbers that fit float32, nulls replaced."""
    plain: NDArray[np.float64] = pc.fill_null(values, default).to_numpy(zero_copy_only=False)
    _sure(not len(plain) or bool(np.abs(plain).max() <= FLOAT32_MAX))  # false for NaN
    return plain + 0.0


def _index_of(values: pa.Array, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Place of each name in `names`, 0 where null."""
    if values.null_count == len(values):
        return np.zeros(len(values), np.int64)
    found = pc.index_in(values, pa.array(names))
    _sure(found.null_count == values.null_count)
    place: NDArray[np.int64] = pc.fill_null(found, 0).to_numpy().astype(np.int64)
    return place


def _done(values: pa.Array, counts_T: NDArray[np.int32]) -> NDArray[np.bool_]:
    done_N: NDArray[np.bool_] = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    last = np.cumsum(counts_T) - 1
    _sure(int(done_N.sum()) == int(done_N[last].sum()))
    return done_N


def _action_sets(values: pa.ListArray) -> NDArray[np.uint16]:
    """Ten booleans a row -> bits; 0 where missing."""
    if values.null_count == len(values):
        return np.zeros(len(values), np.uint16)
    flags, there = _fixed_lists(values, ACTIONS)
    _sure(not flags.null_count)
    bits = pack_actions(flags.to_numpy(zero_copy_only=False).reshape(-1, ACTIONS))
    _sure(bool(bits.all()))
    if there is None:
        return bits
    out = np.zeros(len(values), np.uint16)
    out[there] = bits
    return out


def _labels(step: dict[str, pa.Array]) -> dict[str, NDArray[Any]]:
    """The columns legal, candidates and action, checked against each other."""
    label_N = _index_of(step["label"], LABELS)
    legal_N, candidates_N = _action_sets(step["legal"]), _action_sets(step["candidates"])
    kinds, targets = step["action_type"], step["action_target"]
    observed_N = label_N == LABELS.index("observed")
    if kinds.null_count or targets.null_count:
        there_N = pc.and_(pc.is_valid(kinds), pc.is_valid(targets)).to_numpy(zero_copy_only=False)
        _sure(bool((there_N | ~observed_N).all()))
        kind_N, target_N = (pc.fill_null(values, 0).to_numpy() for values in (kinds, targets))
        kind_N, target_N = np.where(there_N, kind_N, 0), np.where(there_N, target_N, 0)
    else:
        kind_N, target_N = kinds.to_numpy(), targets.to_numpy()
    _sure(bool(((kind_N == 0) | (kind_N == 1)).all()))
    _sure(bool(((target_N >= 0) & (target_N < np.where(kind_N == 1, TEAM, MOVES))).all()))
    action_N = np.where(observed_N, MOVES * kind_N + target_N, NO_LABEL)
    legal_has_it = (legal_N >> np.maximum(action_N, 0).astype(np.uint16)) & 1
    _sure(bool((~observed_N | (legal_N == 0) | (legal_has_it == 1)).all()))
    censored_N = label_N == LABELS.index("censored")
    candidates_N = np.where(censored_N, candidates_N, 0).astype(np.uint16)
    _sure(not ((candidates_N & ~legal_N)[legal_N != 0]).any())
    return {"legal": legal_N, "candidates": candidates_N, "action": action_N}


def _totals(values: pa.Array, rewards_N: NDArray[np.float64], counts_T: NDArray[np.int32]) -> NDArray[np.float64]:
    """total_reward, or where it is missing the sum of the rewards."""
    totals_T = _float32s(values, 0.0)
    if values.null_count:
        missing_T = ~pc.is_valid(values).to_numpy(zero_copy_only=False)
        first_T = np.cumsum(counts_T) - counts_T
        # fsum per trajectory, as the exact reader does: a running sum rounds differently
        for place in np.flatnonzero(missing_T):
            totals_T[place] = math.fsum(rewards_N[first_T[place]: first_T[place] + counts_T[place]])
    return totals_T
