"""Makes small raw trajectories of the basic schema that use everything contract 1 allows. Deterministic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

Raw = dict[str, Any]

FULL = {
    "turn": 3, "active_species_id": 17, "active_hp": 0.37, "active_status": 2,
    "team_hp": [1.0, 0.5, 0.0, 0.25, 0.125, 0.999], "team_status": [0, 1, 2, 3, 4, 5],
    "team_fainted": [False, False, True, False, False, False],
    "opp_active_species_id": 901, "opp_active_hp": 1.0, "opp_team_revealed": [5, 6, 7, 0, 0, 0],
    "weather_id": 3, "terrain_id": 1,
    "own_stealth_rock": True, "own_spikes": 3, "own_toxic_spikes": 1, "own_sticky_web": False,
    "opp_stealth_rock": False, "opp_spikes": 0, "opp_toxic_spikes": 2, "opp_sticky_web": True, "team_id": 12345,
}
"""An observation with every key of the basic schema, no value the default of its neighbour."""


def make_step(random: Random, turn: int, *, last: bool, masks: str) -> Raw:
    """One decision: observed, censored or unlabelled; some keys missing, null or unknown."""
    observation: Raw = {key: _another(random, value) for key, value in FULL.items()} | {"turn": turn}
    for key in random.sample(sorted(FULL), 2):
        if random.random() < 0.5:
            del observation[key]
        else:
            observation[key] = None
    if random.random() < 0.2:
        observation["mood"] = random.choice([1, None, 2.5])
    action = random.randrange(10)
    share = random.choice([0.0, 0.5, 0.5, 0.5])  # sometimes there is no choice
    legal = [random.random() < share or place == action for place in range(10)]
    step: Raw = {"observation": observation, "action_type": int(action >= 4), "action_target": action % 4 if action < 4
                 else action - 4, "reward": random.choice([0.0, 0.0, 0.1, -0.2]), "done": last}
    if masks == "all" or (masks == "some" and random.random() < 0.5):
        step["legal"] = legal
    kind = random.random()
    if kind < 0.15:
        step |= {"label": "censored", "candidates": [(open_ and random.random() < 0.7) or place == action
                                                     for place, open_ in enumerate(legal)]}
    elif kind < 0.25:
        step |= {"label": "none", "action_type": None, "action_target": None}
    elif kind < 0.35:
        step |= {"label": "observed", "gimmick": random.choice(["none", "mega", "z", "dynamax", "tera"])}
    if random.random() < 0.1:
        step["weight"] = 0.5
    if random.random() < 0.1:
        step |= {"comment": "späte Antwort", "reward": None, "done": None if not last else True}
    return step


def _another(random: Random, value: Any) -> Any:
    if isinstance(value, list):
        return [_another(random, item) for item in value]
    if isinstance(value, bool):
        return random.random() < 0.5
    return random.randrange(value + 1) if isinstance(value, int) else round(random.random(), 3)


def make_trajectory(battle: int, player: str = "p1", steps: int = 5, *, masks: str = "some") -> Raw:
    """One player's view of a battle; depends on its arguments only."""
    random = Random(f"{battle}-{player}-{steps}-{masks}")
    raw: Raw = {
        "replay_id": f"gen9ou-{battle}", "player": player, "total_reward": random.choice([1.0, -1.0, 0.0, None]),
        "player_id": f"player {random.randrange(6)}", "date": f"2024-0{1 + battle % 9}-{10 + battle % 17}",
        "winner": random.choice(["Zoë", "Nina \"N\"", None]), "rating": random.choice([1500, 1623.5, None]), "gen": 9,
        "steps": [make_step(random, turn + 1, last=turn == steps - 1, masks=masks) for turn in range(steps)],
    }
    if random.random() < 0.3:
        raw["source"] = {"uploader": None, "tags": ["a", "b"]}
    return raw


def make_trajectories(battles: int, *, masks: str = "some", most_steps: int = 6) -> list[Raw]:
    """Both views of each battle, one after the other."""
    return [make_trajectory(battle, player, 1 + (battle * 7 + int(player[1])) % most_steps, masks=masks)
            for battle in range(battles) for player in ("p1", "p2")]


def to_line(raw: Raw) -> bytes:
    return json.dumps(raw, ensure_ascii=False).encode()


def to_text(raws: Sequence[Raw]) -> bytes:
    return b"".join(to_line(raw) + b"\n" for raw in raws)


def write_raw(path: Path, raws: Sequence[Raw]) -> Path:
    path.write_bytes(to_text(raws))
    return path
