"""Contract 1: one raw JSON line, or one row of a Parquet file -> one checked trajectory.

This is the exact reader: plain Python, strict, and precise about what is wrong and where. It defines the format;
faster readers may replace it only where they give the same rows and refuse the same lines.

Strict means: UTF-8 without a byte order mark, one object, no duplicate keys, no NaN or Infinity, every value of the
right type and in range. A whole number may be written 3 or 3.0, never 3.7. A null counts as a missing key. Unknown
keys are allowed and counted.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from poke_bc.contract.actions import GIMMICKS, LABELS, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS, TEAM_SLOTS
from poke_bc.contract.field import FieldValueError, json_type
from poke_bc.contract.nesting import DEEPEST, nesting, skeleton
from poke_bc.contract.rows import MAX_STEPS
from poke_bc.contract.schema import Schema

PLAYERS = ("p1", "p2")
TRAJECTORY_KEYS: dict[str, type] = {
    "replay_id": str, "player": str, "total_reward": float,
    "format": str, "gen": int, "rating": float, "opponent_rating": float,
    "winner": str, "date": str, "player_id": str, "imputed": str, "original_id": str,
}
"""Keys of a trajectory other than `steps`, with their types; replay_id and player are required.

`original_id` is the id of the battle that was played, where `replay_id` had to differ from it because another record of
the same battle has that id already; a battle is split by it.
"""

STEP_KEYS = ("observation", "action_type", "action_target", "reward", "done",
             "legal", "label", "candidates", "gimmick", "weight")


_LONGEST_REASON = 200  # reasons quote values, and a value may be megabytes long


class BadLine(ValueError):
    """A line that is not a valid trajectory: `path` within the object ("$.steps[3].reward") and `reason`."""

    def __init__(self, path: str, reason: str) -> None:
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[: _LONGEST_REASON // 2]}…{reason[-_LONGEST_REASON // 2:]}"
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Step:
    """One decision, checked; bits and indices as in the columns of a shard."""

    ids: list[int]
    numbers: list[float]
    action: int
    legal: int
    candidates: int
    gimmick: int
    reward: float
    done: bool
    weight: float
    label: str


@dataclass(frozen=True)
class Trajectory:
    """One player's view of a battle, checked."""

    keys: dict[str, Any]
    """The TRAJECTORY_KEYS; None where missing, except total_reward: then the sum of the rewards."""
    steps: list[Step]
    unknown: Counter[str]
    """Unknown keys whose value is not null, as "$.steps[].observation.key" -> occurrences."""
    present: Counter[str]
    """Observation field of the schema -> steps in which it has a value."""


def battle_hash(replay_id: str) -> int:
    """The `battle` column: xxh3_64 of the replay id's UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(replay_id.encode())


def read_trajectory(line: bytes, schema: Schema) -> Trajectory:
    """Check one line, the bytes between two newlines. Raises BadLine."""
    return check_trajectory(parse_strict(line), schema)


def check_trajectory(top: Mapping[str, Any], schema: Schema) -> Trajectory:
    """Check the object of a line, or a row of a table. Raises BadLine.

    Args:
        top: the keys of the trajectory as Python values; None where missing.
        schema: the schema of its observations.
    """
    unknown: Counter[str] = Counter()
    _count_unknown(top, {*TRAJECTORY_KEYS, "steps"}, "$", unknown)
    keys = {name: _typed(top.get(name), kind, f"$.{name}") for name, kind in TRAJECTORY_KEYS.items()}
    if not keys["replay_id"]:
        raise BadLine("$.replay_id", "missing" if keys["replay_id"] is None else "empty")
    if keys["player"] not in PLAYERS:
        raise BadLine("$.player", "missing" if keys["player"] is None else f"{keys['player']!r} is neither p1 nor p2")
    raw_steps = top.get("steps")
    if raw_steps is None:
        raise BadLine("$.steps", "missing")
    if type(raw_steps) is not list:
        raise BadLine("$.steps", f"expected an array, got {json_type(raw_steps)}")
    if not raw_steps:
        raise BadLine("$.steps", "empty")
    if len(raw_steps) > MAX_STEPS:
        raise BadLine("$.steps", f"{len(raw_steps)} steps, more than {MAX_STEPS}")
    present: Counter[str] = Counter()
    steps = [_read_step(raw, schema, f"$.steps[{place}]", unknown, present) for place, raw in enumerate(raw_steps)]
    for place, step in enumerate(steps[:-1]):
        if step.done:
            raise BadLine(f"$.steps[{place}].done", "true before the last step")
    if keys["total_reward"] is None:
        keys["total_reward"] = math.fsum(step.reward for step in steps)
    return Trajectory(keys, steps, unknown, present)


def parse_strict(line: bytes) -> dict[str, Any]:
    """Parse standard JSON: one object, no duplicate keys. Raises BadLine."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadLine("$", f"invalid UTF-8 at byte {error.start} of the line") from None
    if text.startswith("\ufeff"):
        raise BadLine("$", "starts with a byte order mark")
    if nesting(skeleton(line)) > DEEPEST:
        raise BadLine("$", f"nested deeper than {DEEPEST}")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        at = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        what = "more than one value on the line" if error.msg == "Extra data" else f"not JSON: {error.msg}"
        raise BadLine("$", f"{what} at byte {at} of the line") from None
    except BadLine:
        raise
    except ValueError as error:  # an integer with thousands of digits
        raise BadLine("$", f"not JSON: {error}") from None
    if type(value) is not dict:
        raise BadLine("$", f"expected an object, got {json_type(value)}")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise BadLine("$", f"duplicate key {twice!r}")
    return value


def _refuse_constant(name: str) -> Any:
    raise BadLine("$", f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)


def _read_step(raw: Any, schema: Schema, path: str, unknown: Counter[str], present: Counter[str]) -> Step:
    if type(raw) is not dict:
        raise BadLine(path, f"expected an object, got {json_type(raw)}")
    _count_unknown(raw, STEP_KEYS, "$.steps[]", unknown)
    observation = raw.get("observation")
    if type(observation) is not dict:
        raise BadLine(f"{path}.observation", "missing" if observation is None else
                      f"expected an object, got {json_type(observation)}")
    _count_unknown(observation, schema.field_names, "$.steps[].observation", unknown)
    try:
        ids, numbers = schema.pack({key: observation[key] for key in observation.keys() & schema.field_names})
    except FieldValueError as error:
        raise BadLine(f"{path}.observation.{error.path}", error.reason) from None
    present.update(key for key, value in observation.items() if value is not None and key in schema.field_names)
    label = _one_of(raw.get("label"), LABELS, f"{path}.label")
    legal = _action_bits(raw.get("legal"), f"{path}.legal")
    action = _read_action(raw, label, path)
    candidates = _action_bits(raw.get("candidates"), f"{path}.candidates")
    if label == "observed" and legal and not legal >> action & 1:
        raise BadLine(f"{path}.action_target", f"action {action} is not among the legal ones")
    if label == "censored" and legal and candidates & ~legal:
        raise BadLine(f"{path}.candidates", "names an action that is not legal")
    weight = _typed(raw.get("weight"), float, f"{path}.weight")
    if weight is not None and weight < 0:
        raise BadLine(f"{path}.weight", f"{weight} is below 0")
    return Step(
        ids, numbers,
        action=action if label == "observed" else NO_LABEL,
        legal=legal,
        candidates=candidates if label == "censored" else 0,
        gimmick=GIMMICKS.index(_one_of(raw.get("gimmick"), GIMMICKS, f"{path}.gimmick")),
        reward=_typed(raw.get("reward"), float, f"{path}.reward") or 0.0,
        done=_typed(raw.get("done"), bool, f"{path}.done") or False,
        weight=1.0 if weight is None else weight,
        label=label,
    )


def _read_action(raw: Mapping[str, Any], label: str, path: str) -> int:
    """The action; NO_LABEL where it is missing and not required."""
    kind = _typed(raw.get("action_type"), int, f"{path}.action_type")
    target = _typed(raw.get("action_target"), int, f"{path}.action_target")
    if label == "observed" or not (kind is None or target is None):
        for name, value in (("action_type", kind), ("action_target", target)):
            if value is None:
                raise BadLine(f"{path}.{name}", "missing")
        if kind not in (0, 1):
            raise BadLine(f"{path}.action_type", f"{kind} is neither 0 (move) nor 1 (switch)")
        slots = TEAM_SLOTS if kind else MOVE_SLOTS
        if not 0 <= target < slots:
            raise BadLine(f"{path}.action_target", f"{target} is outside [0, {slots - 1}]")
        return int(MOVE_SLOTS * kind + target)
    return NO_LABEL


def _action_bits(value: Any, path: str) -> int:
    """Ten booleans -> bits; 0 where missing."""
    if value is None:
        return 0
    if type(value) is not list:
        raise BadLine(path, f"expected a list of {NUM_ACTIONS}, got {json_type(value)}")
    if len(value) != NUM_ACTIONS:
        raise BadLine(path, f"expected {NUM_ACTIONS} values, got {len(value)}")
    for place, item in enumerate(value):
        if type(item) is not bool:
            raise BadLine(f"{path}[{place}]", f"expected true or false, got {json_type(item)}")
    if not any(value):
        raise BadLine(path, "allows no action")
    return sum(1 << place for place, item in enumerate(value) if item)


def _one_of(value: Any, names: tuple[str, ...], path: str) -> str:
    """One of `names`; the first where missing."""
    if value is None:
        return names[0]
    if type(value) is not str or value not in names:
        raise BadLine(path, f"{value!r} is not one of {', '.join(names)}")
    return value


def _typed(value: Any, kind: type, path: str) -> Any:
    """`value` as `kind` (str, int, float or bool), None where missing. Raises BadLine."""
    if value is None:
        return None
    if kind in (str, bool):
        if type(value) is not kind:
            raise BadLine(path, f"expected a {'string' if kind is str else 'boolean'}, got {json_type(value)}")
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise BadLine(path, "contains a lone surrogate")
        return value
    if type(value) is not int and type(value) is not float:
        raise BadLine(path, f"expected {'an integer' if kind is int else 'a number'}, got {json_type(value)}")
    if kind is int:
        if not -(2**63) <= value < 2**63 or value != math.floor(value):  # both comparisons fail for NaN and Infinity
            raise BadLine(path, f"expected an integer, got {value}")
        return int(value)
    if not abs(value) <= FLOAT32_MAX:
        raise BadLine(path, f"{value} does not fit float32")
    return float(value) + 0.0


FLOAT32_MAX = 3.4028234663852886e38


def _count_unknown(value: Mapping[str, Any], known: Any, path: str, unknown: Counter[str]) -> None:
    unknown.update(f"{path}.{key}" for key in value if key not in known and value[key] is not None)
