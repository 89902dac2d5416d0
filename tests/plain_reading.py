"""The reading that shards must equal: json.loads, a loop, and the basic schema written out by hand.

Shares nothing with the code it judges but xxhash and the order of columns, which docs/format.md promises.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import polars as pl
import xxhash

IDS = (("active_species_id", 1), ("active_status", 1), ("team_status", 6), ("opp_active_species_id", 1),
       ("opp_team_revealed", 6), ("weather_id", 1), ("terrain_id", 1), ("team_id", 1))
NUMBERS = (
    ("turn", 1, 0.0),
    ("active_hp", 1, 1.0),
    ("team_hp", 6, 1.0),
    ("team_fainted", 6, 0.0),
    ("opp_active_hp", 1, 1.0),
    ("own_stealth_rock", 1, 0.0),
    ("own_spikes", 1, 0.0),
    ("own_toxic_spikes", 1, 0.0),
    ("own_sticky_web", 1, 0.0),
    ("opp_stealth_rock", 1, 0.0),
    ("opp_spikes", 1, 0.0),
    ("opp_toxic_spikes", 1, 0.0),
    ("opp_sticky_web", 1, 0.0),
)
GIMMICKS = ["none", "mega", "z", "dynamax", "tera"]


def _values(observation: dict[str, Any], key: str, width: int, default: float) -> list[Any]:
    value = observation.get(key)
    if value is None:
        return [default] * width
    return value if width > 1 else [value]


def _bits(open_: list[bool] | None) -> int:
    return sum(2**place for place, item in enumerate(open_ or []) if item)


def read_plainly(text: bytes) -> dict[str, np.ndarray]:
    """Every column of contract 3, one row a step."""
    rows: list[dict[str, Any]] = []
    for trajectory, raw in enumerate(json.loads(line) for line in text.splitlines() if line.strip()):
        rewards = [step.get("reward") or 0.0 for step in raw["steps"]]
        total = raw.get("total_reward")
        total = math.fsum(rewards) if total is None else total
        seen = 0.0
        for place, step in enumerate(raw["steps"]):
            observation, label = step["observation"], step.get("label") or "observed"
            rows.append(
                {
                    "category": [item for key, width in IDS for item in _values(observation, key, width, 0)],
                    "number": [
                        float(item)
                        for key, width, default in NUMBERS
                        for item in _values(observation, key, width, default)
                    ],
                    "legal": _bits(step.get("legal")),
                    "candidates": _bits(step.get("candidates")) if label == "censored" else 0,
                    "action": step["action_target"] + 4 * step["action_type"] if label == "observed" else -1,
                    "gimmick": GIMMICKS.index(step.get("gimmick") or "none"),
                    "done": int(step.get("done") or False),
                    "weight": 1.0 if step.get("weight") is None else step["weight"],
                    "reward": rewards[place],
                    "return": total - seen,
                    "battle": xxhash.xxh3_64_intdigest(raw["replay_id"].encode()),
                    "trajectory": trajectory,
                    "step": place,
                }
            )
            seen += rewards[place]
    kinds = {"category": "uint16", "number": "float16", "legal": "uint16", "candidates": "uint16", "action": "int8",
             "gimmick": "uint8", "done": "uint8", "weight": "float32", "reward": "float32", "return": "float32",
             "battle": "uint64", "trajectory": "uint32", "step": "uint16"}
    return {name: np.array([row[name] for row in rows], kind) for name, kind in kinds.items()}


def read_shards_with_polars(folder: Any) -> dict[str, np.ndarray]:
    """The same columns, as anybody reads the files: polars, in the order of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    frame = pl.concat([pl.read_ipc(folder / shard["rows"]["name"]) for shard in manifest["shards"]])
    return {name: frame[name].to_numpy() for name in frame.columns}
