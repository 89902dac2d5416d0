"""Small data sets for the tests of policies, training and evaluation, made by the real pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.policy.mlp import MLPOptions
from poke_bc.train import TrainConfig

# On CPUs shared with other tests, two OpenMP threads wait for each other up to 100 times longer than they work.
torch.set_num_threads(1)


def battle_lines(battles: int, steps: int, seed: int, species: int, forced: bool) -> list[dict[str, Any]]:
    """Battles in which the action follows from the two active species, and is always among the legal ones."""
    random = np.random.default_rng(seed)
    lines = []
    for battle in range(battles):
        for player in ("p1", "p2"):
            taken = [_step(random, turn, species, forced) for turn in range(1, steps + 1)]
            lines.append({"replay_id": f"sim-{seed}-{battle}", "player": player,
                          "total_reward": 1.0 if player == "p1" else -1.0, "steps": taken})
    return lines


def _step(random: np.random.Generator, turn: int, species: int, forced: bool) -> dict[str, Any]:
    own, other = (int(value) for value in random.integers(1, species, 2))
    action = (own + 2 * other) % 10
    legal = random.random(10) < 0.6
    legal[[action, (action + 3) % 10]] = True
    step = {
        "observation": {"turn": turn, "active_species_id": own, "opp_active_species_id": other,
                        "active_hp": round(float(random.random()), 2), "team_hp": random.random(6).round(2).tolist()},
        "action_type": int(action >= 4), "action_target": action if action < 4 else action - 4,
        "legal": legal.tolist(), "reward": 0.0, "done": False,
        "gimmick": "tera" if action < 4 and turn % 2 and own % 2 else "none",
    }
    kind = random.random()
    if forced or kind < 0.05:  # no choice at all
        step["legal"] = [place == action for place in range(10)]
    elif kind < 0.1:
        del step["legal"]
    elif kind < 0.2:  # nobody saw it, but moves are known to be moves
        step |= {"label": "censored", "candidates": (legal & ((np.arange(10) < 4) | (action >= 4))).tolist()}
    return step


def make_shards(folder: Path, *, battles: int = 40, steps: int = 12, seed: int = 0, val_ratio: float = 0.2,
                species: int = 12, forced: bool = False) -> Path:
    """Shards of `2 * battles * steps` decisions, split by battle; `forced`: each with one legal action."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder.with_suffix(".jsonl")
    lines = battle_lines(battles, steps, seed, species, forced)
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    preprocess([raw], folder, workers=1)
    split(folder, val_ratio=val_ratio, test_ratio=0.0, seed=seed, by="battle")
    return folder


def small_config(shards: Path, run: Path, **changes: Any) -> TrainConfig:
    """A run of a second: a small network with dropout, batches that do not divide an epoch.

    `changes` are settings; under `policy` the options of a network, or a dict of those of the small one.
    """
    policy = changes.pop("policy", {})
    if isinstance(policy, dict):
        policy = MLPOptions(**{"width": 32, "blocks": 1, "embedding": 8, **policy})
    return TrainConfig(**{"shards": shards, "run": run, "policy": policy, "epochs": 3, "batch_size": 64, "lr": 3e-3,
                          "device": "cpu", "log_every": 5, **changes})


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 900 decisions, a fifth of the battles for validation."""
    return make_shards(tmp_path_factory.mktemp("data") / "shards")
