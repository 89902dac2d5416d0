"""The battles of tests/battles by id, and their converted rows in words, so that a test can say what a reader would."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.convert.clean_log import clean
from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.records import read_battle
from poke_bc.showdown.convert import convert
from poke_bc.showdown.corpus import Corpus
from poke_bc.showdown.record import BattleRecord

BATTLES = Path(__file__).resolve().parent / "battles"
MOVES = 4


@cache
def battles() -> dict[str, dict[str, Any]]:
    """Id -> battle as it is written in tests/battles: "spectator" lines with the "p1" and "p2" requests, or a "log"."""
    found = {}
    for path in sorted(BATTLES.glob("*.jsonl.zst")):
        with pa.input_stream(str(path), compression="zstd") as stream:
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                battle = json.loads(line)
                found[battle["id"]] = battle
    for path in sorted((BATTLES / "by_hand").glob("*.log")):
        found[path.stem] = {"id": path.stem, "log": path.read_text("utf-8")}
    return found


def lines_of(id_: str) -> list[str]:
    """Everything that spectators of a battle saw."""
    battle = battles()[id_]
    return list(battle["spectator"]) if "spectator" in battle else str(battle["log"]).splitlines()


def record(id_: str, *, requests: bool = True) -> BattleRecord:
    """As the pipeline reads it; `requests`: with those of the players, where there are any."""
    battle = battles()[id_]
    return read({name: value for name, value in battle.items() if requests or name not in ("p1", "p2")})


def read(battle: dict[str, Any]) -> BattleRecord:
    return read_battle(RawBattle("json", json.dumps(battle).encode(), "x", "x"), Pseudonyms("salt"))


def with_lines(of: BattleRecord, lines: Iterable[str]) -> BattleRecord:
    """The battle, made without requests, with other lines, from which the pipeline leaves out what means nothing."""
    return replace(of, lines=tuple(clean([*lines]).lines))


@dataclass(frozen=True)
class Row:
    """One decision, its slots turned into names."""

    seen: dict[str, Any]
    label: str
    action: str
    """"scald" or "switch zapdos"; "" without an observed label."""
    candidates: set[str]
    legal: set[str]
    gimmick: str

    @property
    def moves(self) -> list[str]:
        """The own active one's."""
        at = self.seen["own_active"].index(True) * MOVES
        return list(self.seen["own_moves"][at:at + MOVES])

    @property
    def open_moves(self) -> set[str]:
        return {name for name in self.legal if not name.startswith("switch ")}

    @property
    def open_switches(self) -> set[str]:
        return {name.removeprefix("switch ") for name in self.legal if name.startswith("switch ")}

    def own(self, field: str) -> Any:
        """A field of the own active Pokémon."""
        return self.seen[f"own_{field}"][self.seen["own_active"].index(True)]

    def opponent(self, field: str) -> Any:
        """A field of the opponent's active Pokémon."""
        return self.seen[f"opp_{field}"][self.seen["opp_active"].index(True)]

    def of(self, who: str, species: str, field: str) -> Any:
        """A field of `own` or `opp` Pokémon of that species."""
        return self.seen[f"{who}_{field}"][self.seen[f"{who}_species"].index(species)]


class View:
    """All rows of one player."""

    def __init__(self, trajectory: dict[str, Any]) -> None:
        self.trajectory = trajectory
        self.rows = [_row(step) for step in trajectory["steps"]]

    def all(self, turn: int) -> list[Row]:
        return [row for row in self.rows if row.seen["turn"] == turn]

    def at(self, turn: int, phase: str = "turn") -> Row:
        """The only row of that phase in that turn."""
        (row,) = [row for row in self.all(turn) if row.seen["phase"] == phase]
        return row


def _row(step: dict[str, Any]) -> Row:
    seen = step["observation"]
    active = seen["own_active"].index(True) if True in seen["own_active"] else 0
    moves = seen["own_moves"][active * MOVES:(active + 1) * MOVES]
    names = [*moves, *(f"switch {species}" for species in seen["own_species"])]
    action = step["action_target"] + (MOVES if step["action_type"] else 0)

    def named(flags: Sequence[bool]) -> set[str]:
        return {name for name, is_in in zip(names, flags, strict=True) if is_in}

    return Row(seen, step["label"], names[action] if step["label"] == "observed" else "",
               named(step.get("candidates") or [False] * len(names)), named(step["legal"]),
               step.get("gimmick", "none"))


def convert_record(record: BattleRecord, corpus: Corpus | None = None) -> dict[str, View]:
    """Both views."""
    return {each["player"]: View(each) for each in msgspec.to_builtins(convert(record, corpus or Corpus()))}


@cache
def _views(id_: str, *, requests: bool) -> dict[str, View]:
    return convert_record(record(id_, requests=requests))


def both(id_: str, player: str) -> tuple[View, ...]:
    """The player's view from the spectator's lines alone and, where requests were recorded, the exact one as well.

    Both must have the same rows, and an observed label of the first must be that of the second; a censored one holds
    it or, where moves are imputed, is of its kind.
    """
    inferred = _views(id_, requests=False)[player]
    if not battles()[id_].get(player):
        return (inferred,)
    exact = _views(id_, requests=True)[player]
    check_agreement(inferred, exact)
    return (inferred, exact)


def check_agreement(inferred: View, exact: View) -> None:
    """No label of the log alone contradicts what was chosen."""
    by_moment: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in exact.rows:
        by_moment[row.seen["turn"], row.seen["phase"]].append(row)
    for row in inferred.rows:
        moment = (row.seen["turn"], row.seen["phase"])
        assert by_moment[moment], f"no request at {moment}"
        truth = by_moment[moment].pop(0)
        if row.label == "observed" and truth.label == "observed":
            assert _bare(row.action) == _bare(truth.action), moment
            assert row.gimmick == truth.gimmick, moment
        elif row.label == "censored" and truth.label == "observed":
            is_held = _bare(truth.action) in {_bare(name) for name in row.candidates}
            is_move = not any(name.startswith("switch ") for name in (truth.action, *row.candidates))
            assert is_held or (is_move and row.candidates and set(row.moves) != set(truth.moves)), moment


def _bare(action: str) -> str:
    """Hidden Power's type does not show in a log."""
    return "hiddenpower" if action.startswith("hiddenpower") else action


def by_hand(turns: Iterable[str], *, gen: int = 9, names: tuple[str, str] = ("Ash", "Gary")) -> BattleRecord:
    """A short log: a head for two players, then the lines given."""
    head = ["|gametype|singles", f"|player|p1|{names[0]}|1|", f"|player|p2|{names[1]}|2|", "|teamsize|p1|6",
            "|teamsize|p2|6", f"|gen|{gen}", f"|tier|[Gen {gen}] OU", "|", "|start"]
    return BattleRecord(id=f"gen{gen}ou-1", format=f"gen{gen}ou", lines=(*head, *turns))
