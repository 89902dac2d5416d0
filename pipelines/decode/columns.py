"""Arrow columns -> rows, vectorised over trajectories, if every check of the contract holds for all of them.

The readers of JSON and Parquet get their rows here, or NotSure: then poke_bc.contract.trajectory must check each
trajectory. Columns may have any equivalent type, such as int8 or a dictionary of strings.

    N rows   T trajectories   W values of a field
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.decode.decoded import TRAJECTORY_SCHEMA, Decoded, finish
from poke_bc.contract.actions import GIMMICKS, LABELS, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS, TEAM_SLOTS, pack_actions
from poke_bc.contract.bits import pack_bits
from poke_bc.contract.field import BITS, FLAG, NUMBER, Field
from poke_bc.contract.rows import CATEGORY_COLUMN, MAX_STEPS, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import FLOAT32_MAX, PLAYERS, TRAJECTORY_KEYS

STEP_TYPES = {
    "action_type": pa.int64(), "action_target": pa.int64(), "reward": pa.float64(), "done": pa.bool_(),
    "legal": pa.list_(pa.bool_()), "label": pa.string(), "candidates": pa.list_(pa.bool_()),
    "gimmick": pa.string(), "weight": pa.float64(),
}
"""Keys of a step other than `observation`."""


class NotSure(Exception):
    """A fast reader cannot vouch for some trajectories; the exact one must check them."""


def sure(holds: bool) -> None:
    """Raises NotSure if a check fails."""
    if not holds:
        raise NotSure


def field_type(field: Field, schema: Schema) -> pa.DataType:
    """Arrow's type of one value of an observation field."""
    if field.is_category:
        return pa.int64() if schema.vocabularies[field.vocab].is_open else pa.string()
    return {FLAG: pa.bool_(), BITS: pa.bool_(), NUMBER: pa.float64()}.get(field.kind, pa.int64())


def rows_from_arrow(top: Mapping[str, pa.Array], lines: NDArray[np.int64], schema: Schema) -> Decoded:
    """All trajectories as rows. Raises NotSure unless every one is certainly valid.

    Args:
        top: keys of the trajectories, one value each; absent columns are missing keys.
        lines: numbers of the trajectories' lines in their block.
        schema: what the observations hold.
    """
    sure("steps" in top)
    keys = {name: as_type(top.get(name), TRAJECTORY_SCHEMA.field(name).type, len(lines)) for name in TRAJECTORY_KEYS}
    ids, players = keys["replay_id"], keys["player"]
    sure(not ids.null_count and not pc.any(pc.equal(ids, "")).as_py())
    sure(pc.all(pc.is_in(players, pa.array(PLAYERS))).as_py() is not False and not players.null_count)
    steps, counts_T, valid_T = items_of(top["steps"])
    sure(valid_T is None and int(counts_T.min(initial=1)) > 0 and int(counts_T.max(initial=1)) <= MAX_STEPS)
    n = len(steps)
    every_step = _fields(steps)
    sure("observation" in every_step)
    every_observation = _fields(every_step["observation"])
    step = {name: every_step.get(name) for name in STEP_TYPES}
    observation = {field.name: every_observation.get(field.name) for field in schema.fields}

    present = _with_values(observation.items(), "")
    unknown = _with_values(((name, top[name]) for name in top if name not in {*TRAJECTORY_KEYS, "steps"}), "$.")
    unknown += _with_values(((name, every_step[name]) for name in every_step
                             if name not in STEP_TYPES and name != "observation"), "$.steps[].")
    unknown += _with_values(((name, every_observation[name]) for name in every_observation
                             if name not in schema.field_names), "$.steps[].observation.")
    rows = {
        CATEGORY_COLUMN: _matrix(schema.categories, observation, n, schema, np.dtype(np.uint16)),
        NUMBER_COLUMN: _matrix(schema.numbers, observation, n, schema, np.dtype(np.float16)),
        "reward": _float32s(step["reward"], 0.0, n),
        "done": _done(step["done"], counts_T),
        "weight": _float32s(step["weight"], 1.0, n),
        "gimmick": _index_of(step["gimmick"], GIMMICKS, n),
        **_labels(step, n),
    }
    sure(rows["weight"].min(initial=0.0) >= 0)
    for name in ("total_reward", "rating", "opponent_rating"):
        _float32s(keys[name], 0.0, len(lines))
        keys[name] = pc.add(keys[name], 0.0)  # -0.0 becomes 0.0
    return Decoded(*finish(rows, counts_T, keys, lines, schema), unknown, present)


def _with_values(arrays: Iterable[tuple[str, pa.Array | None]], path: str) -> Counter[str]:
    """`path` + name -> number of values that are not null, if above 0."""
    return +Counter({f"{path}{name}": len(values) - values.null_count for name, values in arrays if values is not None})


def as_type(values: pa.Array | None, kind: pa.DataType, n: int) -> pa.Array:
    """`values` as `kind`, a type that the JSON reader produces; [n] nulls if `values` is None or of type null.

    Raises NotSure unless the exact reader would accept each value as a `kind`: no number in place of a boolean or a
    string, no 3.7 in place of an integer.
    """
    if values is None or pa.types.is_null(values.type):
        return pa.nulls(n, kind)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    have = values.type
    if kind == pa.string():
        sure(have in (pa.string(), pa.large_string(), pa.string_view()))
    elif kind == pa.bool_():
        sure(have == pa.bool_())
    else:
        sure(pa.types.is_integer(have) or pa.types.is_floating(have))
        if pa.types.is_float16(have):
            values = values.cast(pa.float64())
    try:
        values = values if values.type == kind else values.cast(kind)
        if kind == pa.string():
            values.validate(full=True)  # Parquet's reader accepts invalid UTF-8
    except pa.ArrowException:
        raise NotSure from None
    return values


def items_of(lists: pa.Array) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.bool_] | None]:
    """Items of all lists, concatenated; the length of each list; and which lists are not null (None: all).

    Raises NotSure for anything but lists.
    """
    valid: NDArray[np.bool_] | None = None
    if lists.null_count:
        valid = pc.is_valid(lists).to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(lists.type):
        lengths = np.full(len(lists), lists.type.list_size, np.int64)
        return lists.flatten(), lengths if valid is None else lengths * valid, valid
    sure(pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type))
    offsets = lists.offsets.to_numpy()
    lengths = np.diff(offsets).astype(np.int64)
    sure(valid is None or not lengths[~valid].any())
    return lists.values.slice(offsets[0], offsets[-1] - offsets[0]), lengths, valid


def _fields(struct: pa.Array) -> dict[str, pa.Array]:
    """Children of a struct array by name. Raises NotSure if one of the structs is null."""
    sure(pa.types.is_struct(struct.type) and not struct.null_count)
    return {struct.type.field(place).name: struct.field(place) for place in range(struct.type.num_fields)}


def _matrix(fields: Sequence[Field], observation: Mapping[str, pa.Array | None], n: int, schema: Schema,
            dtype: np.dtype[Any]) -> NDArray[Any]:
    """Fields of one kind side by side: [N, sum of columns], checked and cast."""
    out = np.empty((n, sum(field.columns for field in fields)), dtype)
    for field in fields:
        values = observation[field.name]
        target = out[:, schema.columns[field.name]]
        if values is None or values.null_count == n:
            target[:] = field.default
            continue
        valid = None
        if field.width > 1:
            values, valid = _fixed_lists(values, field.width)
        elif values.null_count:
            valid = pc.is_valid(values).to_numpy(zero_copy_only=False)
            values = values.drop_null()
        sure(not values.null_count)
        plain = _numbers(values, field, schema).reshape(-1, field.width)
        if field.kind == BITS:
            plain = pack_bits(plain)
        if valid is None:
            target[:] = plain
        else:
            target[~valid] = field.default
            target[valid] = plain
    if dtype.kind == "f":
        out += dtype.type(0)  # -0.0 becomes 0.0
    return out


def _numbers(values: pa.Array, field: Field, schema: Schema) -> NDArray[Any]:
    """The values to store. Raises NotSure unless all are in the field's range."""
    values = as_type(values, field_type(field, schema), len(values))
    if pa.types.is_string(values.type):
        found = pc.index_in(values, pa.array(["", "none", *(schema.vocabularies[field.vocab].names or ())]))
        ids: NDArray[Any] = pc.fill_null(found, 0).to_numpy()
        return ids
    if pa.types.is_boolean(values.type):
        flags: NDArray[Any] = values.cast(pa.uint8()).to_numpy()
        return flags
    plain: NDArray[Any] = values.to_numpy()
    sure(not len(plain) or bool(field.low <= plain.min() and plain.max() <= field.high))  # false for NaN
    return plain


def _fixed_lists(lists: pa.Array, width: int) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Items of lists that must all have `width` items, and which rows have a list (None: all)."""
    items, lengths, valid = items_of(lists)
    sure(bool((lengths == (width if valid is None else np.where(valid, width, 0))).all()))
    return items, valid


def _float32s(values: pa.Array | None, default: float, n: int) -> NDArray[np.float64]:
    """[n] finite numbers that fit float32, nulls replaced."""
    plain: NDArray[np.float64] = pc.fill_null(as_type(values, pa.float64(), n), default).to_numpy(zero_copy_only=False)
    sure(not len(plain) or bool(np.abs(plain).max() <= FLOAT32_MAX))  # false for NaN
    return plain + 0.0


def _index_of(values: pa.Array | None, names: tuple[str, ...], n: int) -> NDArray[np.int64]:
    """Place of each name in `names`, 0 where null."""
    if values is None or values.null_count == n:
        return np.zeros(n, np.int64)
    values = as_type(values, pa.string(), n)
    found = pc.index_in(values, pa.array(names))
    sure(found.null_count == values.null_count)
    place: NDArray[np.int64] = pc.fill_null(found, 0).to_numpy().astype(np.int64)
    return place


def _done(values: pa.Array | None, counts_T: NDArray[np.int64]) -> NDArray[np.bool_]:
    filled = pc.fill_null(as_type(values, pa.bool_(), int(counts_T.sum())), False)
    done_N: NDArray[np.bool_] = filled.to_numpy(zero_copy_only=False)
    last = np.cumsum(counts_T) - 1
    sure(int(done_N.sum()) == int(done_N[last].sum()))
    return done_N


def _action_sets(values: pa.Array | None, n: int) -> NDArray[np.uint16]:
    """Ten booleans a row -> bits; 0 where missing."""
    if values is None or values.null_count == n:
        return np.zeros(n, np.uint16)
    flags, valid = _fixed_lists(values, NUM_ACTIONS)
    flags = as_type(flags, pa.bool_(), len(flags))
    sure(not flags.null_count)
    bits = pack_actions(flags.to_numpy(zero_copy_only=False).reshape(-1, NUM_ACTIONS))
    sure(bool(bits.all()))
    if valid is None:
        return bits
    out = np.zeros(n, np.uint16)
    out[valid] = bits
    return out


def _labels(step: Mapping[str, pa.Array | None], n: int) -> dict[str, NDArray[Any]]:
    """The columns legal, candidates and action, checked against each other."""
    label_N = _index_of(step["label"], LABELS, n)
    legal_N, candidates_N = _action_sets(step["legal"], n), _action_sets(step["candidates"], n)
    kinds, targets = (as_type(step[name], pa.int64(), n) for name in ("action_type", "action_target"))
    observed_N = label_N == LABELS.index("observed")
    if kinds.null_count or targets.null_count:
        valid_N = pc.and_(pc.is_valid(kinds), pc.is_valid(targets)).to_numpy(zero_copy_only=False)
        sure(bool((valid_N | ~observed_N).all()))
        kind_N, target_N = (pc.fill_null(values, 0).to_numpy() for values in (kinds, targets))
        kind_N, target_N = np.where(valid_N, kind_N, 0), np.where(valid_N, target_N, 0)
    else:
        kind_N, target_N = kinds.to_numpy(), targets.to_numpy()
    sure(bool(((kind_N == 0) | (kind_N == 1)).all()))
    sure(bool(((target_N >= 0) & (target_N < np.where(kind_N == 1, TEAM_SLOTS, MOVE_SLOTS))).all()))
    action_N = np.where(observed_N, MOVE_SLOTS * kind_N + target_N, NO_LABEL)
    legal_has_it = (legal_N >> np.maximum(action_N, 0).astype(np.uint16)) & 1
    sure(bool((~observed_N | (legal_N == 0) | (legal_has_it == 1)).all()))
    censored_N = label_N == LABELS.index("censored")
    candidates_N = np.where(censored_N, candidates_N, 0).astype(np.uint16)
    sure(not ((candidates_N & ~legal_N)[legal_N != 0]).any())
    return {"legal": legal_N, "candidates": candidates_N, "action": action_N}
