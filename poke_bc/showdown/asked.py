"""A request at its moment in the battle: what its player knows, and what it may answer; for convert and for play.

    request + battle so far -> observation, legal actions -> an action -> the words of a choice
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS, TEAM_SLOTS
from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import PREVIEW
from poke_bc.showdown.legal import requested_legal
from poke_bc.showdown.lines import entry
from poke_bc.showdown.observe import observe
from poke_bc.showdown.own_pokemon import moves_of, slot_of
from poke_bc.showdown.requests import DecisionRequest, mega_word, offered_gimmicks, open_ways
from poke_bc.showdown.seen import move_name
from poke_bc.showdown.state import Mon
from poke_bc.showdown.team import take_request

WORDS = {"z": "zmove", "dynamax": "dynamax", "tera": "terastallize"}
"""Gimmick -> the word of a choice; mega evolution has several."""


class Asked(msgspec.Struct, gc=False):
    """What a player knows when a request arrives, and what it may answer."""

    gen: int
    request: DecisionRequest
    mons: list[Mon]
    """Own Pokémon in the request's order."""
    observation: Any
    """Without the estimates of damage, see `observe`."""
    legal: list[bool]
    """Of the ten actions, exactly what the server accepts."""
    stats: list[Mapping[str, int] | None]
    """Of the own six by slot, for add_damage."""
    moves: list[int]
    """Slot of each move that the request lists; -1: none of the four (Struggle, Recharge)."""

    @property
    def active(self) -> Mapping[str, Any]:
        """The request's part about the active Pokémon; empty if it only asks who comes in."""
        return (self.request.request.get("active") or [{}])[0] or {}

    def ways(self, action: int) -> list[bool]:
        """With which of GIMMICKS an action is accepted, "none" first.

        >>> request = {"active": [{"moves": [{"id": "surf"}], "canTerastallize": "Fire"}]}
        >>> asked = Asked(9, DecisionRequest(0, 1, "turn", request, ""), [], None, [], [], [2])
        >>> asked.ways(2), asked.ways(6)
        ([True, False, False, False, True], [True, False, False, False, False])
        """
        index = self._index(action)
        return open_ways(self.active)[index] if index is not None else [True] + [False] * (len(GIMMICKS) - 1)

    def choice(self, action: int, gimmick: str = "none") -> str:
        """The words that answer the request: "move 2 terastallize", "switch 4", "team 3".

        Args:
            action: a legal one.
            gimmick: one of GIMMICKS that goes with it by `ways`.
        """
        if action >= MOVE_SLOTS:
            place = next(place for place, mon in enumerate(self.mons, 1) if mon.slot == action - MOVE_SLOTS)
            return f"{'team' if self.request.phase == PREVIEW else 'switch'} {place}"
        index = self._index(action)
        words = ["move", str((index or 0) + 1)]
        if gimmick != "none":
            words.append(WORDS.get(gimmick) or mega_word(self.active))
        return " ".join(words)

    def _index(self, action: int) -> int | None:
        """The move of the request that an action uses; None for a switch, and for what is no move of the Pokémon."""
        found = [index for index, slot in enumerate(self.moves) if slot == action and action < MOVE_SLOTS]
        return next((index for index in found if any(open_ways(self.active)[index])), found[0] if found else None)


def ask(battle: Battle, player: str, request: DecisionRequest) -> Asked:
    """Take a request into the battle, and observe it. Raises SkippedBattle if it does not fit the log.

    Args:
        battle: followed up to the request; updated in place.
        player: "p1" or "p2", whose own team came from requests (requested_team).
    """
    side = battle.sides[player]
    mons = take_request(side, request.request, battle.dex)
    active = next((mon for mon, row in zip(mons, request.request["side"]["pokemon"], strict=True)
                   if row.get("active")), None)
    if active is not None and request.phase != PREVIEW:
        entry.correct_active(battle, player, active)
    legal = requested_legal(battle, player, request.request, mons)
    observation = observe(battle, player, request.phase, locked=request.locked,
                          can_gimmick=offered_gimmicks(request.request))
    slots = _slots(battle, player, request, active)
    return Asked(battle.gen, request, mons, observation, legal, _stats(side.mons), slots)


def _stats(mons: Sequence[Mon]) -> list[Mapping[str, int] | None]:
    found: list[Mapping[str, int] | None] = [None] * TEAM_SLOTS
    for mon in mons:
        if mon.slot >= 0 and mon.copied is None:  # a transformed Pokémon has other stats than the request says
            found[mon.slot] = mon.stats
    return found


def _slots(battle: Battle, player: str, request: DecisionRequest, active: Mon | None) -> list[int]:
    rows = (request.request.get("active") or [{}])[0].get("moves", ())
    if active is None or not rows:
        return []
    names = moves_of(battle, player, active)
    slots = [slot_of(names, move_name(battle.dex, to_id(row["id"]))) for row in rows]
    return [-1 if slot is None else slot for slot in slots]
