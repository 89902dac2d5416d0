"""Showdown's simulator for tests, and contestants that remember what they knew."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from poke_bc.contract.actions import GIMMICKS
from poke_bc.contract.errors import UsageError
from poke_bc.play.contestant import Contestant, MaxPower
from poke_bc.play.simulator import find_showdown
from poke_bc.showdown.asked import Asked
from poke_bc.showdown.seat import estimate

HOW = "npm install pokemon-showdown@0.11.11 --omit=optional, with node; $SHOWDOWN names its folder"


def showdown_or_skip() -> Path:
    """The folder of the package; skips where it or Node is missing."""
    try:
        folder = find_showdown()
    except UsageError:
        pytest.skip(f"NOTHING PLAYED: {HOW}")
    if shutil.which("node") is None:
        pytest.skip(f"NOTHING PLAYED: {HOW}")
    return folder


class Eager(MaxPower):
    """Attacks with the strongest move, and with a gimmick whenever it may."""

    def _choose(self, asked: Asked, dice: Random) -> str:
        kind, place, *_ = super()._choose(asked, dice).split()
        if kind != "move" or (action := asked.moves[int(place) - 1]) < 0:
            return f"{kind} {place}"
        ways = [name for name, is_open in zip(GIMMICKS, asked.ways(action), strict=True) if is_open]
        return asked.choice(action, ways[-1])


class Watched:
    """Another contestant, of whom is remembered what it knew at each decision and what it answered."""

    def __init__(self, inner: Contestant) -> None:
        self.inner, self.name = inner, f"watched {inner.name}"
        self.seen: dict[str, list[dict[str, Any]]] = {}
        """"BATTLE PLAYER" -> decisions in order."""

    def sit(self, player: str, format_: str, seed: str) -> Any:
        chair = self.inner.sit(player, format_, seed)
        chair.watched = self.seen.setdefault(seed, [])
        return chair

    def answer(self, chairs: Sequence[Any]) -> list[str]:
        estimate([chair.asked for chair in chairs])
        choices = self.inner.answer(chairs)
        for chair, choice in zip(chairs, choices, strict=True):
            asked = chair.asked
            if chair.watched and chair.watched[-1]["at"] == asked.request.at:  # the last choice was refused
                chair.watched.pop()
            chair.watched.append({
                "at": asked.request.at, "observation": msgspec.to_builtins(asked.observation),
                "legal": list(asked.legal), "choice": choice,
                "slots": list(asked.moves), "order": [mon.slot for mon in asked.mons]})
        return choices


def action_of(decision: dict[str, Any]) -> tuple[int, str]:
    """The action and gimmick that an answer by numbers means; -1: a move that is none of the four."""
    kind, place, *words = decision["choice"].split()
    if kind == "move":
        named = {"megax": "mega", "megay": "mega", "ultra": "mega", "zmove": "z", "terastallize": "tera"}
        gimmick = named.get(words[0], words[0]) if words else "none"
        return decision["slots"][int(place) - 1], gimmick
    return 4 + decision["order"][int(place) - 1], "none"


def compare_with_converted(seen: Mapping[str, Sequence[dict[str, Any]]],
                           converted: Iterable[dict[str, Any]]) -> tuple[Counter[str], Counter[str]]:
    """Assert that what was known live is what `convert` makes, field by field; decisions by format and by gimmick.

    Args:
        seen: "BATTLE PLAYER" -> decisions, see Watched.
        converted: trajectories of those battles and players.
    """
    rows: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for trajectory in converted:
        live = seen[f"{trajectory['replay_id']} {trajectory['player']}"]
        assert len(live) == len(trajectory["steps"]), trajectory["replay_id"]
        for number, (decision, step) in enumerate(zip(live, trajectory["steps"], strict=True)):
            where = (trajectory["replay_id"], trajectory["player"], number)
            assert decision["observation"].keys() == step["observation"].keys()
            for name, value in step["observation"].items():
                assert decision["observation"][name] == value, (*where, name)
            assert decision["legal"] == step["legal"], where
            action, gimmick = action_of(decision)
            assert step["label"] == ("none" if action < 0 else "observed"), where
            if action >= 0:
                assert 4 * step["action_type"] + step["action_target"] == action, where
                assert step.get("gimmick", "none") == gimmick, where
            rows[trajectory["format"]] += 1
            used[gimmick] += 1
    return rows, used
