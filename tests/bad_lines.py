"""Every way in which a line can fail to be a trajectory, one line each: where the error is said to be, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trajectories import FULL, Raw, to_line

STEP = 1
"""The step that is spoilt."""


@dataclass(frozen=True)
class BadLine:
    """A line, and the path and (a part of) the reason it must be quarantined with."""

    line: bytes
    path: str
    reason: str


def good() -> Raw:
    """A trajectory of three decisions, with every basic key in the one that is spoilt."""
    steps = [{"observation": {"turn": turn}, "action_type": 0, "action_target": 2, "reward": 0.0, "done": turn == 3}
             for turn in (1, 2, 3)]
    steps[STEP]["observation"] = dict(FULL)
    return {"replay_id": "gen9ou-7", "player": "p1", "total_reward": 1.0, "winner": "Zoë", "steps": steps}


def spoilt(change: Callable[[Raw, Raw, Raw], Any]) -> bytes:
    """The good line after `change(trajectory, step, observation)`."""
    raw = good()
    change(raw, raw["steps"][STEP], raw["steps"][STEP]["observation"])
    return to_line(raw)


def with_text(old: str, new: str) -> bytes:
    line = to_line(good())
    assert line.count(old.encode()) >= 1
    return line.replace(old.encode(), new.encode("utf-8", "surrogatepass"), 1)


def _observed(name: str, value: Any, reason: str, place: str = "") -> BadLine:
    return BadLine(spoilt(lambda _, __, observation: observation.update({name: value})),
                   f"$.steps[{STEP}].observation.{name}{place}", reason)


def _step(name: str, value: Any, reason: str, place: str = "", **others: Any) -> BadLine:
    return BadLine(spoilt(lambda _, step, __: step.update({name: value}, **others)), f"$.steps[{STEP}].{name}{place}",
                   reason)


def _top(name: str, value: Any, reason: str) -> BadLine:
    return BadLine(spoilt(lambda raw, *_: raw.update({name: value})), f"$.{name}", reason)


LINE = to_line(good())
TWO_OPEN = [True, True, *[False] * 8]

BAD: dict[str, BadLine] = {
    # what is not JSON
    "truncated line": BadLine(LINE[: len(LINE) // 2], "$", "not JSON"),
    "truncated by one byte": BadLine(LINE[:-1], "$", "not JSON"),
    "garbage": BadLine(b"}{ not json at all", "$", "not JSON"),
    "garbage in braces": BadLine(b"{garbage}", "$", "not JSON"),
    "NUL tail": BadLine(LINE + b"\0" * 20, "$", "more than one value"),
    "nothing but NUL": BadLine(b"\0" * 50, "$", "not JSON"),
    "BOM": BadLine(b"\xef\xbb\xbf" + LINE, "$", "byte order mark"),
    "invalid UTF-8": BadLine(LINE.replace("Zoë".encode(), b"Zo\xff"), "$", "invalid UTF-8"),
    "Latin-1": BadLine(LINE.replace("Zoë".encode(), "Zoë".encode("latin-1")), "$", "invalid UTF-8"),
    "a surrogate in UTF-8": BadLine(with_text("Zoë", "\ud800"), "$", "invalid UTF-8"),
    "UTF-16": BadLine(LINE.decode().encode("utf-16-le").replace(b"\n", b" "), "$", ""),
    "control character in a string": BadLine(with_text("Zoë", "Zo\te"), "$", "not JSON"),
    "single quotes": BadLine(LINE.replace(b'"', b"'"), "$", "not JSON"),
    "trailing comma": BadLine(LINE[:-1] + b",}", "$", "not JSON"),
    "Python's words": BadLine(with_text("true", "True"), "$", "not JSON"),
    "leading zero": BadLine(with_text('"turn": 3', '"turn": 03'), "$", "not JSON"),
    "NaN": BadLine(with_text('"active_hp": 0.37', '"active_hp": NaN'), "$", "NaN is not JSON"),
    "Infinity": BadLine(with_text('"reward": 0.0', '"reward": Infinity'), "$", "Infinity is not JSON"),
    "minus Infinity": BadLine(
        with_text('"total_reward": 1.0', '"total_reward": -Infinity'), "$", "-Infinity is not JSON"
    ),
    "NaN under an unknown key": BadLine(with_text('"winner"', '"mood": [NaN], "winner"'), "$", "NaN is not JSON"),
    "two objects on a line": BadLine(LINE + LINE, "$", "more than one value"),
    "two objects and a space": BadLine(LINE + b" " + LINE, "$", "more than one value"),
    "array instead of object": BadLine(b"[" + LINE + b"]", "$", "expected an object, got array"),
    "a string": BadLine(b'"gen9ou-7"', "$", "expected an object, got string"),
    "null": BadLine(b"null", "$", "expected an object, got null"),
    "duplicate key": BadLine(with_text('"player"', '"player": "p1", "player"'), "$", "duplicate key 'player'"),
    "duplicate key, once null": BadLine(with_text('"turn": 3', '"turn": null, "turn": 3'), "$", "duplicate key 'turn'"),
    "duplicate key in a step": BadLine(with_text('"done"', '"done": false, "done"'), "$", "duplicate key 'done'"),
    "duplicate key by escape": BadLine(
        with_text('"turn": 3', '"turn": 3, "t\\u0075rn": 3'), "$", "duplicate key 'turn'"
    ),
    "duplicate unknown key": BadLine(
        with_text('"winner"', '"x": {"a": 1, "a": 1}, "winner"'), "$", "duplicate key 'a'"
    ),
    "nested without end": BadLine(
        with_text('"winner"', f'"x": {"[" * 5000}{"]" * 5000}, "winner"'), "$", "nested deeper"
    ),
    # what is JSON, but no trajectory
    "empty object": BadLine(b"{}", "$.replay_id", "missing"),
    "no steps": BadLine(spoilt(lambda raw, *_: raw.pop("steps")), "$.steps", "missing"),
    "empty steps": _top("steps", [], "empty"),
    "steps as an object": _top("steps", {}, "expected an array, got object"),
    "a step that is a list": BadLine(
        spoilt(lambda raw, *_: raw["steps"].__setitem__(STEP, [])), f"$.steps[{STEP}]", "expected an object, got array"
    ),
    "a step that is null": BadLine(
        spoilt(lambda raw, *_: raw["steps"].__setitem__(STEP, None)), f"$.steps[{STEP}]", "expected an object, got null"
    ),
    "empty replay_id": _top("replay_id", "", "empty"),
    "replay_id as a number": _top("replay_id", 7, "expected a string, got integer"),
    "half a surrogate pair": BadLine(with_text("gen9ou-7", "gen\\udc00"), "$.replay_id", "lone surrogate"),
    "no player": _top("player", None, "missing"),
    "a third player": _top("player", "p3", "neither p1 nor p2"),
    "total_reward as text": _top("total_reward", "1.0", "expected a number, got string"),
    "total_reward beyond float32": _top("total_reward", 1e39, "does not fit float32"),
    "gen 9.5": _top("gen", 9.5, "expected an integer"),
    "no observation": _step("observation", None, "missing"),
    "observation as an array": _step("observation", [], "expected an object, got array"),
    "no action_type": _step("action_type", None, "missing"),
    "no action_target": _step("action_target", None, "missing"),
    "action_type 2": _step("action_type", 2, "neither 0 (move) nor 1 (switch)"),
    "action_type as a boolean": _step("action_type", True, "expected an integer, got boolean"),
    "a fifth move": _step("action_target", 4, "outside [0, 3]"),
    "a seventh team slot": _step("action_target", 6, "outside [0, 5]", action_type=1),
    "a target below 0": _step("action_target", -1, "outside [0, 3]"),
    "target 3.7": _step("action_target", 2.7, "expected an integer"),
    "action outside legal": _step("action_target", 2, "not among the legal ones", legal=TWO_OPEN),
    "legal too short": _step("legal", [True] * 9, "expected 10 values, got 9"),
    "legal too long": _step("legal", [True] * 11, "expected 10 values, got 11"),
    "nothing legal": _step("legal", [False] * 10, "allows no action"),
    "legal as numbers": _step("legal", [1] * 10, "expected true or false, got integer", "[0]"),
    "null in legal": _step("legal", [True, True, True, None, *[True] * 6], "expected true or false, got null", "[3]"),
    "candidates outside legal": _step(
        "candidates", [*[False] * 9, True], "not legal", label="censored", legal=TWO_OPEN
    ),
    "candidates too short": _step("candidates", [], "expected 10 values, got 0", label="censored"),
    "an unknown label": _step("label", "guessed", "not one of observed, censored, none"),
    "an unknown gimmick": _step("gimmick", "mega evolution", "not one of none, mega"),
    "reward as text": _step("reward", "0", "expected a number, got string"),
    "done as a number": _step("done", 0, "expected a boolean, got integer"),
    "done before the last step": _step("done", True, "before the last step"),
    "a weight below 0": _step("weight", -0.5, "below 0"),
    "wrong type": _observed("turn", "3", "expected integer, got string"),
    "3.7 for an integer": _observed("turn", 3.7, "expected an integer, got 3.7"),
    "3.7 for an id": _observed("weather_id", 3.7, "expected an integer, got 3.7"),
    "out of range": _observed("active_hp", 1.5, "outside [0, 1]"),
    "below the range": _observed("turn", -1, "outside [0, 1000]"),
    "an id beyond uint16": _observed("team_id", 65536, "outside [0, 65535]"),
    "an integer of 400 digits": _observed("turn", 10**400, "outside [0, 1000]"),
    "1e400": BadLine(
        with_text('"turn": 3', '"turn": 1e400'), f"$.steps[{STEP}].observation.turn", "expected an integer"
    ),
    "a boolean for a number": _observed("active_hp", True, "expected number, got boolean"),
    "a number for a flag": _observed("own_sticky_web", 1, "expected true or false, got integer"),
    "list too short": _observed("team_hp", [1.0] * 5, "expected 6 values, got 5"),
    "list too long": _observed("team_hp", [1.0] * 7, "expected 6 values, got 7"),
    "empty list": _observed("team_fainted", [], "expected 6 values, got 0"),
    "no list": _observed("team_hp", 1.0, "expected a list of 6, got number"),
    "a list for one value": _observed("turn", [3], "expected integer, got array"),
    "null in a list": _observed("team_status", [0, 0, None, 0, 0, 0], "got null", "[2]"),
    "out of range in a list": _observed("team_hp", [0.5, 0.5, 0.5, -0.5, 0.5, 0.5], "outside [0, 1]", "[3]"),
}
LONG = to_line(good() | {"note": "x" * 5000})
"""A good line unless blocks are smaller."""
