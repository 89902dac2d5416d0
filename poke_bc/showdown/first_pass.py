"""What the first pass over a battle finds, for the corpus and for the second pass: small, and quick to pickle."""

from __future__ import annotations

import msgspec

from poke_bc.showdown.corpus import RevealedSets
from poke_bc.showdown.decision import Decision
from poke_bc.showdown.generation import generation
from poke_bc.showdown.log_reader import LogReader
from poke_bc.showdown.record import BattleRecord
from poke_bc.showdown.seen import SeenTeam, seen_team


class FirstPass(msgspec.Struct, frozen=True, gc=False):
    """One battle after its log was read once."""

    gen: int
    revealed: RevealedSets
    """What the battle shows of every set."""
    decisions: tuple[Decision, ...]
    """Of both players, in the order in which the log shows them."""
    teams: dict[str, SeenTeam]
    illusions: dict[int, tuple[str, str]]
    """Line of a switch -> nickname and details of the Pokémon that came in under Illusion."""
    returning_hp: dict[int, float]
    """Line of a switch -> HP with which the Pokémon that left came back (Regenerator)."""


def first_pass(record: BattleRecord) -> FirstPass:
    """Read the log of one battle. Raises SkippedBattle."""
    gen = generation(record)
    reader = LogReader(record.lines, gen)
    reader.read()
    battle = reader.battle
    index = {mon: place for side in battle.sides.values() for place, mon in enumerate(side.mons)}
    decisions = tuple(
        Decision(each.player, each.phase, each.turn, each.at, each.label, each.move, each.power,
                 None if each.target is None else index[each.target], each.gimmick, each.among, each.locked)
        for each in reader.decisions)
    teams = {player: seen_team(side, battle.dex) for player, side in battle.sides.items()}
    sets = tuple(mon.shown for team in teams.values() for mon in team.mons)
    return FirstPass(gen, RevealedSets(record.id, record.format, sets), decisions, teams,
                     reader.arrivals.illusions, reader.arrivals.returning_hp)
