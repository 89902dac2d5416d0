"""Shards of the schema singles whose decisions follow from the estimated damage, for the tests of evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.preprocess import preprocess
from pipelines.split import split

MOVES = ["bulkup", "closecombat", "earthquake", "headlongrush"]


def make_singles(folder: Path, *, battles: int = 30, steps: int = 12, seed: int = 0, val_ratio: float = 0.4) -> Path:
    """Battles of two views; mostly the strongest move is used, the winner is ahead, and tera comes early."""
    random = np.random.default_rng(seed)
    lines = [_view(random, battle, player, steps) for battle in range(battles) for player in ("p1", "p2")]
    folder.mkdir(parents=True)
    raw = folder.with_suffix(".jsonl")
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    preprocess([raw], folder, schema="singles", workers=1)
    split(folder, val_ratio=val_ratio, test_ratio=0.0, seed=seed, by="battle")
    return folder


def _view(random: np.random.Generator, battle: int, player: str, steps: int) -> dict[str, Any]:
    wins = (player == "p1") == bool(battle % 2)
    taken = [_step(random, turn, wins=wins) for turn in range(1, steps + 1)]
    return {"replay_id": f"sim-{battle}", "player": player, "total_reward": 1.0 if wins else -1.0,
            "format": "gen9ou" if battle % 3 else "gen8ou", "gen": 9 if battle % 3 else 8,
            "rating": None if battle % 5 == 0 else 1000 + 97.5 * (battle % 14), "steps": taken}


def _step(random: np.random.Generator, turn: int, *, wins: bool) -> dict[str, Any]:
    damage = np.where(random.random(4) < 0.3, 0, random.random(4)).round(3)
    forced, hidden, can = random.random() < 0.15, int(random.integers(3)), bool(random.random() < 0.5)
    legal = np.r_[np.zeros(4, bool) if forced else random.random(4) < 0.8, random.random(6) < 0.6]
    strongest = int(np.where(legal[:4], damage, -1).argmax()) if legal[:4].any() else 4
    action = strongest if random.random() < 0.7 and not forced else int(random.integers(4, 10))
    legal[[action, 4 if action != 4 else 5]] = True
    moves = [*MOVES[: 4 - hidden], *(["unknown"] * hidden)]
    left = int(random.integers(2, 5))
    return {
        "observation": {"turn": turn, "phase": "forced_faint" if forced else "turn",
                        "own_can_gimmick": [False] * 3 + [can],
                        "own_active": [False, True] + [False] * 4, "own_moves": ["none"] * 4 + moves + ["none"] * 16,
                        "own_move_damage": damage.tolist(), "own_alive": left + wins, "opp_alive": left + (not wins)},
        "action_type": int(action >= 4), "action_target": action % 4 if action < 4 else action - 4,
        "legal": legal.tolist(), "reward": 0.0, "done": False,
        **({"label": "observed", "gimmick": "tera"} if can and action < 4 and turn < 5 else {}),
    }
