"""What the first pass over a battle finds, for the corpus and for the second pass: small, and quick to pickle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from poke_bc.dex import dex
from poke_bc.showdown.choices import assign_choices, use_choices
from poke_bc.showdown.corpus import RevealedSets
from poke_bc.showdown.decision import Decision
from poke_bc.showdown.illusion import hidden_stints, unlabel
from poke_bc.showdown.log_reader import LogReader
from poke_bc.showdown.protocol import move_id, read_details, tier_of, written
from poke_bc.showdown.record import BattleRecord, SkippedBattle
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
    passed_over: dict[str, int]
    """Kind of minor line that is not known yet -> how many."""


def first_pass(record: BattleRecord) -> FirstPass:
    """Read the log of one battle. Raises SkippedBattle."""
    gen = generation(record)
    reader = _read(record.lines, gen, tier_of(record.format))
    _check_turns(reader.turns)
    battle = reader.battle
    if record.choices and assign_choices(reader.decisions, record.choices):
        use_choices(reader.decisions, reader.arrivals.all, battle.dex)
    index = {mon: place for side in battle.sides.values() for place, mon in enumerate(side.mons)}
    decisions = tuple(decision.closed(index) for decision in reader.decisions)
    teams = {player: seen_team(side, battle.dex) for player, side in battle.sides.items()}
    sets = tuple(mon.shown for team in teams.values() for mon in team.mons)
    return FirstPass(gen, RevealedSets(record.id, record.format, sets), decisions, teams,
                     reader.arrivals.illusions, reader.arrivals.returning_hp, battle.passed_over)


def _read(lines: Sequence[str], gen: int, tier: str) -> LogReader:
    """Read the log, and once more if it proves Illusions that never ended."""
    reader = LogReader(lines, gen, tier)
    reader.read()
    hidden = {at: mon for side in reader.battle.sides.values() if not side.revived
              for at, mon in hidden_stints(reader.arrivals.of(side.player), side, reader.battle.dex).items()}
    known = {at: (mon.nick, written(mon.details)) for at, mon in hidden.items() if mon is not None}
    if known:
        reader = LogReader(lines, gen, tier, known)
        reader.read()
    for at in hidden.keys() - known.keys():
        unlabel(reader.decisions, reader.arrivals.all, at)
    return reader


def _check_turns(turns: Iterable[int]) -> None:
    """Refuse a log whose turns are missing, doubled or out of order; it may begin late."""
    last = 0
    for turn in turns:
        if turn != last + 1 and (last or turn < 1):
            raise SkippedBattle("impossible order of turns", f"{turn} after {last}")
        last = turn


def generation(record: BattleRecord) -> int:
    """1 to 9, from `|gen|` or the format's id. Raises SkippedBattle.

    Before November 2016 the ids of formats had no number, and at first logs had no `|gen|`: then it is generation 6 if
    something of it occurs, else 5.
    """
    text = next((line[5:] for line in record.lines[:60] if line.startswith("|gen|")), "")
    text = text or (record.format[3:4] if record.format.startswith("gen") else "")
    if not text:
        named = any(word in record.format for word in ("pokebank", "xy", "oras"))
        return 6 if named or _has_generation_6(record.lines) else 5
    if text not in tuple("123456789"):
        raise SkippedBattle("unknown generation", text)
    return int(text)


def _has_generation_6(lines: Iterable[str]) -> bool:
    """Whether a mega evolution, a species or a move of generation 6 occurs."""
    for line in lines:
        kind, _, rest = line[1:].partition("|")
        if kind == "-mega":
            return True
        name = rest.split("|")[1] if kind in ("poke", "switch", "drag", "move") and "|" in rest else ""
        if kind == "move" and name and dex(5).move(move_id(name)) is None and dex(6).move(move_id(name)) is not None:
            return True
        if kind in ("poke", "switch", "drag") and name:
            species = read_details(name).species
            if dex(5).species(species) is None and dex(6).species(species) is not None:
                return True
    return False
