"""A file as another converter wrote it, with that converter's faults: made here, and the recorded one where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from trajectories import FULL, Raw, write_raw


@dataclass(frozen=True)
class DegenerateFile:
    """Basic trajectories, two of them twice, in which 15 of 21 fields and the target of every action are constant."""

    path: Path
    trajectories: int
    battles: int
    decisions: int


def make_degenerate(battle: int, player: str) -> Raw:
    """One player's view of a battle, with every key of the basic schema."""
    random = Random(f"{battle}-{player}")
    turns = random.randint(5, 25)
    return {"replay_id": f"gen9ou-{battle}", "player": player, "total_reward": 1.0 if player == "p1" else -1.0,
            "steps": [_step(random, turn, turns) for turn in range(1, turns + 1)]}


def _step(random: Random, turn: int, turns: int) -> Raw:
    observation = {
        **dict.fromkeys(FULL, 0), **{name: False for name, value in FULL.items() if isinstance(value, bool)},
        "turn": turn, "opp_active_hp": 1.0, "weather_id": random.choice([0, 0, 0, 1, 2]),
        "team_hp": [round(random.random(), 2) for _ in range(6)],
        "team_status": [random.choice([0, 0, 0, 4]) for _ in range(6)],
        "team_fainted": [random.random() < turn / 40 for _ in range(6)],
        "opp_team_revealed": [random.randrange(200) if place < turn else 0 for place in range(6)],
    }
    return {"observation": observation, "action_type": int(random.random() < 0.33), "action_target": 0,
            "reward": 0.0, "done": turn == turns}


def degenerate_file(which: str, shared_data: Callable[[str], Path], folder: Path) -> DegenerateFile:
    """The "made" one, or the "recorded" one of real battles."""
    if which == "recorded":
        return DegenerateFile(shared_data("basic/trajectories.jsonl"), 200, 99, 3921)
    views = [make_degenerate(battle, player) for battle in range(60) for player in ("p1", "p2")]
    views += views[10:12]
    return DegenerateFile(write_raw(folder / "made.jsonl", views), 122, 60, sum(len(view["steps"]) for view in views))
