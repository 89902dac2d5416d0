"""`|choice|p1|p2` lines, which some logs of generations 6 and 7 have: what both players said, before it happens.

    |choice|move icebeam|switch 4         |choice|move icepunch mega|move surf        |choice||switch 2
    |choice|team 5|team 3                 |choice|move 4|move 3                       (2014)

They tell what was chosen by a Pokémon that fainted first, was flinched, or was held by Encore. A number is the place
in the player's list of that moment: of a Pokémon's moves, which stay in order, or of the team, where whoever comes in
changes places with whoever leaves. What stands in which place is told by the choices that were seen to happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from poke_bc.dex import Dex, to_id
from poke_bc.showdown.decision import AMONG_MOVES, AMONG_SWITCHES, CENSORED, OBSERVED, PREVIEW, TURN, Arrival, Decision
from poke_bc.showdown.record import PLAYERS
from poke_bc.showdown.state import TEAM, Mon
from poke_bc.showdown.team import own_moves

GIMMICK_WORDS = {"mega": "mega", "megax": "mega", "megay": "mega", "ultra": "mega", "zmove": "z", "max": "dynamax",
                 "dynamax": "dynamax", "terastallize": "tera", "terastal": "tera"}
NO_SLOT = frozenset({"struggle", "recharge", "fight"})
"""What a player may be asked to choose that is no move of the Pokémon."""
SLOTS = 4


@dataclass(frozen=True, slots=True)
class Said:
    """A choice in a player's words."""

    kind: str
    """"move", "switch" or "team"; "" for others."""
    what: str = ""
    """Id of a move, or a number from 1."""
    gimmick: str = "none"


def read_choice(text: str) -> Said:
    """A player's words taken apart.

    >>> read_choice("move icepunch mega")
    Said(kind='move', what='icepunch', gimmick='mega')
    """
    kind, *words = text.replace(",", " ").split() or [""]
    if kind not in ("move", "switch", "team") or not words:
        return Said("")
    gimmick = next((GIMMICK_WORDS[word] for word in words[1:] if word in GIMMICK_WORDS), "none")
    return Said(kind, to_id(words[0]), gimmick)


def use_choices(decisions: Sequence[Decision], arrivals: Sequence[Arrival], dex: Dex) -> None:
    """Label what the log left open with what was said. If anything said contradicts the log, none of it is used.

    Args:
        decisions, arrivals: of both players, each in order.
    """
    told = [(decision, read_choice(decision.choice)) for decision in decisions if decision.choice]
    if not told or not all(_agrees(decision, said, dex) for decision, said in told):
        return
    places = _move_places(told)
    asked_for: dict[Decision, Mon] = {}
    for player in PLAYERS:
        own = [(decision, said) for decision, said in told if decision.player == player and said.kind == "switch"]
        found = _who_was_asked_for(own, [arrival for arrival in arrivals if arrival.player == player])
        if found is None or places is None:
            return
        asked_for |= found
    for decision, said in told:
        if said.kind == "switch":
            _settle_switch(decision, asked_for.get(decision))
        elif said.kind == "move" and decision.phase == TURN:
            _settle_move(decision, said, _move_meant(decision, said, places or {}, dex))


def _agrees(decision: Decision, said: Said, dex: Dex) -> bool:
    """Whether the log shows what was said, as far as it shows anything."""
    if decision.label != OBSERVED or not said.kind:
        return True
    if decision.phase == PREVIEW or decision.target is not None:
        return said.kind == ("team" if decision.phase == PREVIEW else "switch")
    if said.kind != "move":
        return False
    return bool(said.what.isdigit() or decision.locked or decision.power) or _same(said.what, decision.move, dex)


def _same(one: str, two: str, dex: Dex) -> bool:
    """Whether two ids name one move; the type of Hidden Power and the power of Return may be left out."""
    first, second = dex.move(one), dex.move(two)
    return one == two or (first is not None and second is not None and first.name == second.name) or (
        "hiddenpower" in one and (one.startswith(two) or two.startswith(one)))


# --- moves by number ------------------------------------------------------------------------------------------------


def _move_places(told: Sequence[tuple[Decision, Said]]) -> dict[Mon, dict[int, str]] | None:
    """Which move stands where, from those that were used; None where that does not fit together."""
    places: dict[Mon, dict[int, str]] = {}
    for decision, said in told:
        if not _numbers_own_moves(decision, said) or decision.label != OBSERVED or decision.power:
            continue
        assert decision.active is not None
        if places.setdefault(decision.active, {}).setdefault(int(said.what), decision.move) != decision.move:
            return None
    return places


def _numbers_own_moves(decision: Decision, said: Said) -> bool:
    return (said.kind == "move" and said.what.isdigit() and not decision.bound and not decision.locked
            and decision.active is not None and decision.copied is None)


def _move_meant(decision: Decision, said: Said, places: Mapping[Mon, dict[int, str]], dex: Dex) -> str:
    """Id of the move, or "" where a number cannot be told; the fourth can when three of four stand elsewhere."""
    if not said.what.isdigit():
        return said.what
    if not _numbers_own_moves(decision, said):
        return ""
    assert decision.active is not None
    known = places.get(decision.active, {})
    number = int(said.what)
    if number in known:
        return known[number]
    left = set(own_moves(decision.active, dex)) - set(known.values())
    return left.pop() if len(known) == SLOTS - 1 and len(left) == 1 and number <= SLOTS else ""


def _settle_move(decision: Decision, said: Said, move: str) -> None:
    if decision.locked or move in NO_SLOT or (decision.label == OBSERVED and not (decision.power and move)):
        return
    if not move:
        decision.label, decision.among = CENSORED, AMONG_MOVES
        return
    owner = decision.copied or decision.active
    if owner is not None:
        owner.told.add(move)
    decision.label, decision.move, decision.power, decision.gimmick = OBSERVED, move, "", said.gimmick


# --- Pokémon by number ----------------------------------------------------------------------------------------------


def _who_was_asked_for(
    told: Sequence[tuple[Decision, Said]], arrivals: Sequence[Arrival]
) -> dict[Decision, Mon] | None:
    """The Pokémon that each switch asked for, where that is certain; None where what was said and seen do not fit.

    The lead stands first; of the orders of the others (120) those remain under which all that was said came true.
    """
    if not told or not arrivals:
        return {}
    lead = arrivals[0].mon
    others: list[Mon | None] = [mon for mon in dict.fromkeys(arrival.mon for arrival in arrivals) if mon is not lead]
    others += [None] * (TEAM - 1 - len(others))
    said = {decision: int(choice.what) - 1 for decision, choice in told if choice.what in ("2", "3", "4", "5", "6")}
    events = _in_order(said, arrivals[1:])
    found: dict[Decision, set[Mon | None]] = {decision: set() for decision in said}
    fits = False
    for order in set(permutations(others)):
        asked = _play([lead, *order], events, said)
        if asked is not None:
            fits = True
            for decision, mon in asked.items():
                found[decision].add(mon)
    if not fits:
        return None
    return {decision: mon for decision, (mon, *more) in found.items() if mon is not None and not more}


def _in_order(said: Mapping[Decision, int], arrivals: Sequence[Arrival]) -> list[tuple[Decision | None, Mon | None]]:
    """What was asked for and who came, as one list: (decision, who came for it), (None, who was dragged in)."""
    events: list[tuple[int, Decision | None, Mon | None]] = [
        (arrival.at, arrival.decision, arrival.mon) for arrival in arrivals]
    came = {arrival.decision for arrival in arrivals}
    events += [(decision.at, decision, None) for decision in said if decision not in came]
    return [(decision, mon) for _, decision, mon in sorted(events, key=lambda event: event[0])]


def _play(
    order: list[Mon | None], events: Sequence[tuple[Decision | None, Mon | None]], said: Mapping[Decision, int]
) -> dict[Decision, Mon | None] | None:
    """Who stood in the places asked for, if the team was in this order; None where that cannot be."""
    asked = {}
    for decision, came in events:
        place = said.get(decision) if decision is not None else None
        if place is not None and decision is not None:
            asked[decision] = order[place]
            if came is not None and order[place] is not came:
                return None
        if came is not None:
            place = order.index(came)
            order[0], order[place] = order[place], order[0]
    return asked


def _settle_switch(decision: Decision, asked_for: Mon | None) -> None:
    if decision.label == OBSERVED or decision.locked:
        return
    if asked_for is None:
        decision.label, decision.among = CENSORED, AMONG_SWITCHES
        return
    decision.label, decision.target, decision.move, decision.power = OBSERVED, asked_for, "", ""
