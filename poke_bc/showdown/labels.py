"""The label of a decision: its action if the log shows it, or the actions that a hidden choice may have been."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from poke_bc.contract.actions import MOVE_SLOTS, NUM_ACTIONS
from poke_bc.contract.actions import NO_LABEL as NO_ACTION
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import (
    AMONG_ALL,
    AMONG_MOVES,
    AMONG_SWITCHES,
    CENSORED,
    NO_LABEL,
    NO_SLOT,
    OBSERVED,
    TURN,
    Decision,
)
from poke_bc.showdown.legal import only_option, open_moves
from poke_bc.showdown.own_pokemon import moves_of, slot_of
from poke_bc.showdown.power import base_slots
from poke_bc.showdown.seen import move_name
from poke_bc.showdown.state import Mon

AMONG = {AMONG_MOVES: range(MOVE_SLOTS), AMONG_SWITCHES: range(MOVE_SLOTS, NUM_ACTIONS), AMONG_ALL: range(NUM_ACTIONS)}


class Label(msgspec.Struct, frozen=True, gc=False):
    """What is known of a choice."""

    label: str
    """OBSERVED, CENSORED or NO_LABEL."""
    action: int = NO_ACTION
    candidates: list[bool] | None = None
    """Of a censored choice."""
    gimmick: str = "none"


NOTHING = Label(NO_LABEL)


def label_of(battle: Battle, decision: Decision | None, legal: list[bool], mons: Sequence[Mon | None],
             locked: str = "") -> Label:
    """The label that the log shows. An action that it shows becomes legal in `legal`.

    A choice that nobody saw is censored, also where some of the four moves are imputed: it was one of the four slots.

    Args:
        mons: own Pokémon by index of FirstPass.teams.
        locked: the only move that was open, if a request said so.
    """
    if decision is None or decision.label == NO_LABEL:
        return NOTHING
    active = battle.sides[decision.player].active
    if active is not None and decision.phase == TURN and decision.target is None and (
            (locked or only_option(battle, active)) in NO_SLOT or _may_have_struggled(battle, decision, active)):
        return NOTHING
    is_certain = decision.label == OBSERVED
    if decision.label == CENSORED:
        possible = [action for action in AMONG[decision.among] if legal[action]]
    elif decision.target is not None:
        mon = mons[decision.target]
        possible = [MOVE_SLOTS + mon.slot] if mon is not None else []
    else:
        possible, is_certain = _move_slots(battle, decision, active)
    if not possible:
        return NOTHING
    if len(possible) == 1 and is_certain:
        action = possible[0]
        if action >= MOVE_SLOTS and not legal[action] and _cannot_come_in(battle, decision, action - MOVE_SLOTS):
            return NOTHING
        legal[action] = True  # whatever seemed to prevent it did not
        return Label(OBSERVED, action, None, decision.gimmick)
    candidates = [legal[action] and action in possible for action in range(NUM_ACTIONS)]
    return Label(CENSORED, NO_ACTION, candidates, decision.gimmick) if any(candidates) else NOTHING


def _may_have_struggled(battle: Battle, decision: Decision, active: Mon) -> bool:
    """Whether nobody saw the choice and no move was open: slot 0 is legal then, but no slot is Struggle."""
    return (decision.label == CENSORED and decision.among != AMONG_SWITCHES and not decision.locked
            and not only_option(battle, active) and True not in open_moves(battle, decision.player, active))


def _cannot_come_in(battle: Battle, decision: Decision, slot: int) -> bool:
    """Whether the Pokémon that came in was active already or had fainted: an Illusion that never ended."""
    side = battle.sides[decision.player]
    return any(mon.slot == slot and (mon is side.active or mon.fainted) for mon in side.mons)


def _move_slots(battle: Battle, decision: Decision, active: Mon | None) -> tuple[list[int], bool]:
    """Slots that the move shown may have come from, and whether that is certain.

    It is one, except for Z-Moves and Max Moves of a type it has twice. The base of these is certain only if all four
    moves are known: something else of that type may stand where a move is imputed.
    """
    if active is None:
        return [], False
    names = moves_of(battle, decision.player, active)
    if decision.power:
        own_set = (active.copied or active).own_set
        imputed = own_set.imputed if own_set else frozenset()
        slots = base_slots(battle.dex, names, decision.move, decision.power, imputed)
        return slots, imputed.isdisjoint(names)
    slot = slot_of(names, move_name(battle.dex, decision.move))
    return ([slot] if slot is not None else []), True
