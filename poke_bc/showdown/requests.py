"""A player's recorded requests and answers: exact decisions, with nothing inferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poke_bc.contract.actions import MOVE_SLOTS, NO_LABEL
from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.choices import gimmick_in
from poke_bc.showdown.decision import FORCED_FAINT, FORCED_PIVOT, NO_SLOT, PREVIEW, REVIVAL, TURN
from poke_bc.showdown.own_pokemon import moves_of, slot_of
from poke_bc.showdown.record import RecordedRequest, SkippedBattle
from poke_bc.showdown.seen import move_name
from poke_bc.showdown.state import Mon

MEGA_WORDS = {"canMegaEvo": "mega", "canMegaEvoX": "megax", "canMegaEvoY": "megay", "canUltraBurst": "ultra"}
"""Key of a request's active Pokémon -> the word of the choice that it offers."""


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A request that called for a decision."""

    at: int
    """Number of lines that the player had seen."""
    turn: int
    phase: str
    request: Mapping[str, Any]
    choice: str
    """The answer; "" if it was not recorded."""

    @property
    def locked(self) -> str:
        """The only move that was open, if it was not an ordinary choice of one move."""
        active = (self.request.get("active") or [None])[0]
        if active is None or len(active.get("moves", ())) != 1:
            return ""
        move = to_id(active.get("moves", ())[0]["id"])
        return move if active.get("trapped") or move in NO_SLOT else ""

    def _index(self, number: str, count: int) -> int:
        """`3` -> 2, below `count`. Raises SkippedBattle."""
        if not number.isdecimal() or not 1 <= int(number) <= count:
            raise SkippedBattle("unknown choice", f"{self.choice:.40}")
        return int(number) - 1

    def action(self, battle: Battle, mons: Sequence[Mon]) -> tuple[int, str]:
        """(action, gimmick) of the choice; NO_LABEL if it has no slot (Struggle, Recharge)."""
        words = self.choice.replace(",", " ").split()
        kind = words[0] if words else ""
        rows = self.request["side"]["pokemon"]
        if kind == "team":
            digits = words[1] if len(words) > 1 else ""
            return MOVE_SLOTS + mons[self._index(digits if len(words) > 2 else digits[:1], len(rows))].slot, "none"
        if kind == "switch":
            return MOVE_SLOTS + mons[switch_index(" ".join(words[1:]), rows)].slot, "none"
        if kind not in ("move", "default"):
            raise SkippedBattle("unknown choice", self.choice)
        if "active" not in self.request:
            return NO_LABEL, "none"
        moves = self.request["active"][0].get("moves", ())
        word = words[1] if len(words) > 1 else ""
        if kind == "default":
            if len(moves) != 1:
                return NO_LABEL, "none"
            move = to_id(moves[0]["id"])
        else:
            by_number = word.isdecimal() or not word
            move = to_id(moves[self._index(word, len(moves))]["id"]) if by_number else to_id(word)
        gimmick = gimmick_in(words[2:])
        if move in NO_SLOT:
            return NO_LABEL, gimmick
        active = next(mon for mon, row in zip(mons, rows, strict=True) if row.get("active"))
        slot = slot_of(moves_of(battle, battle.player_of(active), active), move_name(battle.dex, move))
        return (slot if slot is not None else NO_LABEL), gimmick


def switch_index(who: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Index in the request's list of a Pokémon given by number or name."""
    if who.isdigit() and 1 <= int(who) <= len(rows):
        return int(who) - 1
    wanted = to_id(who)
    for index, row in enumerate(rows):
        species = to_id(row["details"].split(",")[0])
        if wanted in (to_id(row["ident"].split(": ", 1)[-1]), species) and not row.get("active"):
            return index
    raise SkippedBattle("unknown choice", f"switch {who:.40}")


def decision_requests(recorded: Sequence[RecordedRequest], lines: Sequence[str]) -> list[DecisionRequest]:
    """The requests that called for a decision, in order; of rejected choices only the final request counts."""
    turns, turn = [0], 0
    for line in lines:
        if line.startswith("|turn|"):
            turn = int(line[6:]) if line[6:].isdigit() else turn
        turns.append(turn)
    found = []
    for each in recorded:
        request = each.request
        if request.get("wait") or each.rejected or not request.get("side", {}).get("pokemon"):
            continue
        if len(request.get("active") or ()) > 1:
            raise SkippedBattle("not singles", "two active Pokémon in a request")
        at = min(each.after_line, len(lines))
        found.append(DecisionRequest(at, turns[at], phase_of(request), request, bare_choice(each.choice)))
    return found


def bare_choice(choice: str | None) -> str:
    """A choice without the marks of a simulator's input (`>p1 move 1`)."""
    text = (choice or "").strip()
    text = text[4:] if text.startswith((">p1 ", ">p2 ")) else text
    return text.removeprefix("/choose ").strip()


def phase_of(request: Mapping[str, Any]) -> str:
    """The phase of a request's decision."""
    if request.get("teamPreview"):
        return PREVIEW
    if not (request.get("forceSwitch") or [False])[0]:
        return TURN
    rows = request["side"]["pokemon"]
    if any(row.get("reviving") for row in rows):
        return REVIVAL
    fainted = any(row.get("active") and row["condition"].endswith(" fnt") for row in rows)
    return FORCED_FAINT if fainted else FORCED_PIVOT


def offered_gimmicks(request: Mapping[str, Any]) -> list[bool]:
    """Which of mega, Z, dynamax, tera the request offers."""
    active = (request.get("active") or [{}])[0]
    return [mega_word(active) != "", bool(active.get("canZMove")), bool(active.get("canDynamax")),
            bool(active.get("canTerastallize"))]


def mega_word(active: Mapping[str, Any]) -> str:
    """The word of a choice for the mega evolution or Ultra Burst that the active Pokémon is offered, or ""."""
    return next((word for key, word in MEGA_WORDS.items() if active.get(key)), "")


def open_ways(active: Mapping[str, Any]) -> list[list[bool]]:
    """Of each move that a request lists: in which of GIMMICKS ("none" first) the server accepts it.

    A Max or Z-Move ignores what disables its base move (choice items, Encore), but not empty PP (Showdown's
    sim/side.ts, chooseMove). While dynamaxed (`maxMoves` without `canDynamax`) only the Max Moves' state counts.
    """
    moves: Sequence[Mapping[str, Any]] = active.get("moves", ())
    mega, _, _, tera = offered_gimmicks({"active": [active]})
    plain = as_max = [not move.get("disabled") for move in moves]
    if "maxMoves" in active:
        as_max = [not move.get("disabled") for move in active["maxMoves"]["maxMoves"]]
    may_dynamax = "maxMoves" in active and "canDynamax" in active
    if "maxMoves" in active and not may_dynamax:
        plain = as_max
    as_z = [move is not None for move in active.get("canZMove") or [None] * len(moves)]
    has_pp = [move.get("pp", 1) > 0 for move in moves]
    return [[pp and way for way in (ok, ok and mega, z, may_dynamax and big, ok and tera)]
            for ok, z, big, pp in zip(plain, as_z, as_max, has_pp, strict=True)]
