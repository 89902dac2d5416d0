"""`|choice|p1|p2` lines, in some logs of generations 6 and 7: what both players chose, before it happens.

    |choice|move icebeam|switch 4         |choice|move icepunch mega|move surf        |choice||switch 2
    |choice|team 5|team 3                 |choice|move 4|move 3                       (2014)

They show the choice of a Pokémon that fainted first, flinched, or was held by Encore. A number is a position in the
player's list at that moment: of the Pokémon's moves, which keep their order, or of the team, where a Pokémon that comes
in changes places with the one that leaves. Choices that were seen to happen show what is in which position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from poke_bc.contract.actions import MOVE_SLOTS, TEAM_SLOTS
from poke_bc.dex import Dex, to_id
from poke_bc.showdown.decision import (
    AMONG_MOVES,
    AMONG_SWITCHES,
    CENSORED,
    NO_SLOT,
    OBSERVED,
    PREVIEW,
    TURN,
    Arrival,
    OpenDecision,
)
from poke_bc.showdown.record import PLAYERS
from poke_bc.showdown.seen import shown_moves
from poke_bc.showdown.state import Mon

GIMMICK_WORDS = {"mega": "mega", "megax": "mega", "megay": "mega", "ultra": "mega", "zmove": "z", "max": "dynamax",
                 "dynamax": "dynamax", "terastallize": "tera", "terastal": "tera"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A player's choice in Showdown's words."""

    kind: str
    """"move", "switch" or "team"; "" for others."""
    what: str = ""
    """Id of a move, or a number from 1."""
    gimmick: str = "none"


Chosen = Sequence[tuple[OpenDecision, Choice]]


def read_choice(text: str) -> Choice:
    """Parse the words of a choice.

    >>> read_choice("move icepunch mega")
    Choice(kind='move', what='icepunch', gimmick='mega')
    """
    kind, *words = text.replace(",", " ").split() or [""]
    if kind not in ("move", "switch", "team") or not words:
        return Choice("")
    return Choice(kind, to_id(words[0]), gimmick_in(words[1:]))


def gimmick_in(words: Sequence[str]) -> str:
    """The gimmick that the words of a choice name, or "none"."""
    return next((GIMMICK_WORDS[word] for word in words if word in GIMMICK_WORDS), "none")


def use_choices(decisions: Sequence[OpenDecision], arrivals: Sequence[Arrival], dex: Dex) -> None:
    """Label decisions that the log left open. If any choice contradicts the log, none of them is used.

    Args:
        decisions, arrivals: of both players, each in order.
    """
    chosen = [(decision, read_choice(decision.choice)) for decision in decisions if decision.choice]
    if not chosen or not all(_agrees(decision, choice, dex) for decision, choice in chosen):
        return
    positions = _move_positions(chosen)
    targets: dict[OpenDecision, Mon] = {}
    for player in PLAYERS:
        switches = [(decision, choice) for decision, choice in chosen
                    if decision.player == player and choice.kind == "switch"]
        found = _switch_targets(switches, [arrival for arrival in arrivals if arrival.player == player])
        if found is None or positions is None:
            return
        targets |= found
    for decision, choice in chosen:
        if choice.kind == "switch":
            _settle_switch(decision, targets.get(decision))
        elif choice.kind == "move" and decision.phase == TURN:
            _settle_move(decision, choice, _chosen_move(decision, choice, positions or {}, dex))


def assign_choices(decisions: Sequence[OpenDecision], choices: Mapping[str, Sequence[str]]) -> bool:
    """Give each decision of the log the choice that was recorded for it; whether that is possible.

    The server records a choice for each decision, but none for the last ones of a battle that a player left.
    """
    for player in PLAYERS:
        own = [decision for decision in decisions if decision.player == player]
        if not len(own) - 2 <= len(choices.get(player, ())) <= len(own):
            return False
        for decision, choice in zip(own, choices[player], strict=False):
            decision.choice = choice
    return True


def _agrees(decision: OpenDecision, choice: Choice, dex: Dex) -> bool:
    """Whether the log shows what was chosen, as far as it shows anything."""
    if decision.label != OBSERVED or not choice.kind:
        return True
    if decision.phase == PREVIEW or decision.mon is not None:
        return choice.kind == ("team" if decision.phase == PREVIEW else "switch")
    if choice.kind != "move":
        return False
    return bool(choice.what.isdigit() or decision.locked or decision.power) or _same(choice.what, decision.move, dex)


def _same(one: str, two: str, dex: Dex) -> bool:
    """Whether two ids name one move; the type of Hidden Power and the power of Return may be missing."""
    first, second = dex.move(one), dex.move(two)
    return one == two or (first is not None and second is not None and first.name == second.name) or (
        "hiddenpower" in one and (one.startswith(two) or two.startswith(one)))


# --- moves by number ------------------------------------------------------------------------------------------------


def _move_positions(chosen: Chosen) -> dict[Mon, dict[int, str]] | None:
    """The moves in each position, from those that were used; None if they contradict each other."""
    positions: dict[Mon, dict[int, str]] = {}
    for decision, choice in chosen:
        if not _numbers_own_moves(decision, choice) or decision.label != OBSERVED or decision.power:
            continue
        assert decision.active is not None
        known = positions.setdefault(decision.active, {})
        if known.setdefault(int(choice.what), decision.move) != decision.move:
            return None
    return positions


def _numbers_own_moves(decision: OpenDecision, choice: Choice) -> bool:
    return (choice.kind == "move" and choice.what.isdigit() and not decision.bound and not decision.locked
            and decision.active is not None and decision.copied is None)


def _chosen_move(decision: OpenDecision, choice: Choice, positions: Mapping[Mon, dict[int, str]], dex: Dex) -> str:
    """Id of the move, or "" if its number is unknown; the fourth follows from the positions of the other three."""
    if not choice.what.isdigit():
        return choice.what
    if not _numbers_own_moves(decision, choice):
        return ""
    assert decision.active is not None
    known = positions.get(decision.active, {})
    number = int(choice.what)
    if number in known:
        return known[number]
    left = set(shown_moves(decision.active, dex)) - set(known.values())
    return left.pop() if len(known) == MOVE_SLOTS - 1 and len(left) == 1 and number <= MOVE_SLOTS else ""


def _settle_move(decision: OpenDecision, choice: Choice, move: str) -> None:
    if decision.locked or move in NO_SLOT or (decision.label == OBSERVED and not (decision.power and move)):
        return
    if not move:
        decision.label, decision.among = CENSORED, AMONG_MOVES
        return
    owner = decision.copied or decision.active
    if owner is not None:
        owner.implied_moves.add(move)
    decision.label, decision.move, decision.power, decision.gimmick = OBSERVED, move, "", choice.gimmick


# --- Pokémon by number ----------------------------------------------------------------------------------------------


def _switch_targets(switches: Chosen, arrivals: Sequence[Arrival]) -> dict[OpenDecision, Mon] | None:
    """The Pokémon that each switch named, where that is certain; None if choices and arrivals contradict each other.

    The lead is first; of the orders of the others (120) those remain in which every choice came true.
    """
    if not switches or not arrivals:
        return {}
    lead = arrivals[0].mon
    others: list[Mon | None] = [mon for mon in dict.fromkeys(arrival.mon for arrival in arrivals) if mon is not lead]
    others += [None] * (TEAM_SLOTS - 1 - len(others))
    named = {decision: int(choice.what) - 1 for decision, choice in switches if choice.what in tuple("23456")}
    events = _in_order(named, arrivals[1:])
    found: dict[OpenDecision, set[Mon | None]] = {decision: set() for decision in named}
    fits = False
    for order in set(permutations(others)):
        targets = _replay([lead, *order], events, named)
        if targets is not None:
            fits = True
            for decision, mon in targets.items():
                found[decision].add(mon)
    if not fits:
        return None
    return {decision: mon for decision, (mon, *more) in found.items() if mon is not None and not more}


def _in_order(
    named: Mapping[OpenDecision, int], arrivals: Sequence[Arrival]
) -> list[tuple[OpenDecision | None, Mon | None]]:
    """Choices and arrivals as one list: (decision, who came in for it), (None, who was dragged in)."""
    events: list[tuple[int, OpenDecision | None, Mon | None]] = [
        (arrival.at, arrival.decision, arrival.mon) for arrival in arrivals]
    came = {arrival.decision for arrival in arrivals}
    events += [(decision.at, decision, None) for decision in named if decision not in came]
    return [(decision, mon) for _, decision, mon in sorted(events, key=lambda event: event[0])]


def _replay(
    order: list[Mon | None], events: Sequence[tuple[OpenDecision | None, Mon | None]], named: Mapping[OpenDecision, int]
) -> dict[OpenDecision, Mon | None] | None:
    """The Pokémon in the positions named, if the team began in this order; None if that is impossible."""
    targets = {}
    for decision, came in events:
        position = named.get(decision) if decision is not None else None
        if position is not None and decision is not None:
            targets[decision] = order[position]
            if came is not None and order[position] is not came:
                return None
        if came is not None:
            position = order.index(came)
            order[0], order[position] = order[position], order[0]
    return targets


def _settle_switch(decision: OpenDecision, target: Mon | None) -> None:
    if decision.label == OBSERVED or decision.locked:
        return
    if target is None:
        decision.label, decision.among = CENSORED, AMONG_SWITCHES
        return
    decision.label, decision.mon, decision.move, decision.power = OBSERVED, target, "", ""
