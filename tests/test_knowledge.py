"""What an observation knows: a log cut right after a decision tells the same facts of both sides, but for what is
filled in; and what counts as shown of a set is what was brought."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from battles_at import battles, read

from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.dex import dex, to_id
from poke_bc.showdown.convert import convert
from poke_bc.showdown.corpus import Corpus
from poke_bc.showdown.first_pass import first_pass
from poke_bc.showdown.lines.moves import RAMPAGES
from poke_bc.showdown.observation import ESTIMATES
from poke_bc.showdown.observe import VOLATILES
from poke_bc.showdown.protocol import read_details
from poke_bc.showdown.record import PLAYERS, BattleRecord
from poke_bc.showdown.seen import move_name

SCRIPTED = Path(__file__).resolve().parent / "scripted" / "played.jsonl.zst"
CUTS = 5
FILLED = {"own_item": "item", "own_ability": "ability", "own_tera": "tera"}
OF_MOVES = {"own_moves", "own_pp_used", "own_moves_shown"}
ASKED = {"own_volatiles", "own_can_gimmick"}
"""Own fields that the player's request tells more of than the log up to then: a lock that goes on, a held Z-crystal."""
Json = dict[str, Any]


@cache
def played() -> dict[str, Json]:
    """Singles battles of which the players' requests are known, scripted and simulated."""
    with pa.input_stream(str(SCRIPTED), compression="zstd") as stream:
        scripted = {battle["id"]: battle for battle in map(json.loads, io.TextIOWrapper(stream, encoding="utf-8"))}
    return scripted | {id_: battle for id_, battle in battles().items() if battle.get("p1") and "doubles" not in id_}


def log_of(battle: Json) -> BattleRecord:
    return read({"id": battle["id"], "formatid": battle.get("formatid", battle["id"].split("-")[0]),
                 "spectator": battle["spectator"]})


def trajectories(record: BattleRecord) -> dict[str, Json]:
    return {each["player"]: each for each in msgspec.to_builtins(convert(record, Corpus()))}


def row_at(trajectory: Json, turn: int) -> Json:
    step, = [step for step in trajectory["steps"]
             if step["observation"]["turn"] == turn and step["observation"]["phase"] == "turn"]
    found: Json = step["observation"]
    return found


class OwnTeam:
    """The own Pokémon that an observation has shown, by the species brought; those brought twice are left out."""

    def __init__(self, trajectory: Json, seen: Json) -> None:
        brought = trajectory["steps"][0]["observation"]["own_species"]
        count = Counter(brought)
        self.imputed = set((trajectory.get("imputed") or "").split())
        self.places = {name: place for place, name in enumerate(brought) if seen["own_seen"][place] and count[name] == 1
                       and f"{name}.species" not in self.imputed}
        self.seen = seen
        self.is_powered = True in seen["own_gimmick_used"][1:3]  # which move paid depends on those filled in

    def facts(self, species: str) -> Json:
        """Each field's value, without what was filled in; of moves those shown, with PP used."""
        place = self.places[species]
        found = {name: values[place] for name, values in self.seen.items()
                 if name.startswith("own_") and isinstance(values, list) and len(values) == 6 and name not in ESTIMATES
                 and f"{species}.{FILLED.get(name, '-')}" not in self.imputed}
        at = slice(MOVE_SLOTS * place, MOVE_SLOTS * (place + 1))
        moves = zip(self.seen["own_moves"][at], self.seen["own_pp_used"][at], self.seen["own_moves_shown"][at],
                    strict=True)
        held = dict(zip(self.seen["own_moves"][at], self.seen["own_moves_shown"][at], strict=True))
        if f"{species}.hiddenpowertype" in self.imputed or not held.get("hiddenpower"):
            del found["own_hidden_power"]
        return found | {"moves": {move: 0 if self.is_powered else pp for move, pp, is_shown in moves if is_shown}}


def check_cut(full: Json, short: Json, turn: int) -> None:
    whole, cut = row_at(full, turn), row_at(short, turn)
    for name, value in cut.items():
        if name in ESTIMATES or (name.startswith("own_") and (isinstance(value, list) and len(value) in (6, 24))):
            continue
        if name in ASKED:
            continue
        assert whole[name] == value, name
    locks = {VOLATILES.index(name) for name in ("locked", "mustrecharge")}
    for index, (now, later) in enumerate(zip(cut["own_volatiles"], whole["own_volatiles"], strict=True)):
        goes_on = index in locks and cut["own_last_move"] in RAMPAGES | {"copycat", "metronome", "bide", "rage"}
        assert now == later or goes_on, VOLATILES[index]
    teams = [OwnTeam(short, cut), OwnTeam(full, whole)]
    for species in teams[0].places.keys() & teams[1].places.keys():
        now, later = (team.facts(species) for team in teams)
        if later.get("own_ability") == "regenerator":
            del now["own_hp"]  # it heals on the bench, which its player sees at once
        for name, value in now.items():
            assert later.get(name, "filled in") == value, (species, name)


@pytest.mark.parametrize("id_", sorted(played()))
def test_cutting_the_log_after_a_decision_changes_no_fact_of_it(id_: str) -> None:
    record = log_of(played()[id_])
    full = trajectories(record)
    disguised = bool(first_pass(record).illusions)
    turns = [(number, int(line[6:])) for number, line in enumerate(record.lines) if line.startswith("|turn|")]
    for number, turn in Random(id_).sample(turns, min(CUTS, len(turns))):
        short = trajectories(replace(record, lines=record.lines[:number + 1]))
        for player in PLAYERS:
            if disguised:  # the own side knew it, the opponent's view must not
                assert [name for name, value in row_at(short[player], turn).items()
                        if name.startswith("opp_") and name not in ESTIMATES
                        and row_at(full[player], turn)[name] != value] == [], (player, turn)
            else:
                check_cut(full[player], short[player], turn)


def brought(requests: list[Json]) -> dict[str, Json]:
    """Species -> item, ability, tera and moves in the first request, where it was still as it was brought."""
    rows = requests[0]["request"]["side"]["pokemon"]
    names = [read_details(row["details"]).species for row in rows]
    found = {}
    for name, row in zip(names, rows, strict=True):
        if names.count(name) == 1:
            found[name] = {"ability": to_id(row["baseAbility"]), "item": to_id(row["item"]) or "none",
                           "tera": to_id(row.get("teraType") or ""), "moves": {to_id(move) for move in row["moves"]}}
            if row["active"] and not requests[0]["request"].get("teamPreview"):
                del found[name]["moves"], found[name]["item"]  # it may have transformed, or eaten its berry
    return found


UNPROVEN = {"gen5ou-102", "gen9purehackmons-185"}  # an Illusion that never ended


@pytest.mark.parametrize("id_", sorted(played().keys() - UNPROVEN))
def test_what_counts_as_shown_of_a_set_was_brought(id_: str) -> None:
    battle = played()[id_]
    first = first_pass(log_of(battle))
    table = dex(first.gen)
    for player in PLAYERS:
        truth = brought(battle[player])
        for shown in (mon.shown for mon in first.teams[player].mons if mon.shown.species in truth):
            real = truth[shown.species]
            for what in ("item", "ability", "tera"):
                if getattr(shown, what) != "unknown" and what in real:
                    assert getattr(shown, what) == real[what], (player, shown.species, what)
            if "moves" in real:
                held = {move_name(table, move) for move in real["moves"]}
                assert {move for move in shown.moves if "hiddenpower" not in move} <= held, (player, shown.species)
