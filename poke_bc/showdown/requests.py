"""A player's recorded requests and answers: exact decisions, with nothing inferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poke_bc.contract.actions import MOVE_SLOTS, NO_LABEL
from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.choices import GIMMICK_WORDS, NO_SLOT
from poke_bc.showdown.decision import FORCED_FAINT, FORCED_PIVOT, PREVIEW, REVIVAL, TURN
from poke_bc.showdown.legal import moves_of, slot_of
from poke_bc.showdown.record import Asked, SkippedBattle
from poke_bc.showdown.state import Mon
from poke_bc.showdown.team import move_name


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that called for a decision."""

    at: int
    """The observation is that of the first `at` lines."""
    turn: int
    phase: str
    request: Mapping[str, Any]
    choice: str
    """"" where it was not recorded."""

    @property
    def locked(self) -> str:
        """The only move that was open, where it is no ordinary choice of one."""
        active = (self.request.get("active") or [None])[0]
        if active is None or len(active.get("moves", ())) != 1:
            return ""
        move = to_id(active.get("moves", ())[0]["id"])
        return move if active.get("trapped") or move in NO_SLOT else ""

    def _place(self, number: str, many: int) -> int:
        """`3` -> 2, one of `many`. Raises SkippedBattle."""
        if not number.isdecimal() or not 1 <= int(number) <= many:
            raise SkippedBattle("unknown choice", f"{self.choice:.40}")
        return int(number) - 1

    def action(self, battle: Battle, mons: Sequence[Mon]) -> tuple[int, str]:
        """(action, gimmick) of the choice; NO_LABEL where no slot stands for it (Struggle, Recharge)."""
        words = self.choice.replace(",", " ").split()
        kind = words[0] if words else ""
        rows = self.request["side"]["pokemon"]
        if kind == "team":
            digits = words[1] if len(words) > 1 else ""
            return MOVE_SLOTS + mons[self._place(digits if len(words) > 2 else digits[:1], len(rows))].slot, "none"
        if kind == "switch":
            return MOVE_SLOTS + mons[named(" ".join(words[1:]), rows)].slot, "none"
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
            move = to_id(moves[self._place(word, len(moves))]["id"]) if by_number else to_id(word)
        gimmick = next((GIMMICK_WORDS[word] for word in words[2:] if word in GIMMICK_WORDS), "none")
        if move in NO_SLOT:
            return NO_LABEL, gimmick
        standing = next(mon for mon, row in zip(mons, rows, strict=True) if row.get("active"))
        slot = slot_of(moves_of(battle, battle.player_of(standing), standing), move_name(battle.dex, move))
        return (slot if slot is not None else NO_LABEL), gimmick


def named(who: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Place in the request's list of `3` or of a name."""
    if who.isdigit() and 1 <= int(who) <= len(rows):
        return int(who) - 1
    wanted = to_id(who)
    for place, row in enumerate(rows):
        species = to_id(row["details"].split(",")[0])
        if wanted in (to_id(row["ident"].split(": ", 1)[-1]), species) and not row.get("active"):
            return place
    raise SkippedBattle("unknown choice", f"switch {who:.40}")


def read_asks(asked: Sequence[Asked], lines: Sequence[str]) -> list[Ask]:
    """The requests that were decisions, in order: no waiting, and of a rejected choice only what came after it."""
    turns, turn = [0], 0
    for line in lines:
        if line.startswith("|turn|"):
            turn = int(line[6:]) if line[6:].isdigit() else turn
        turns.append(turn)
    found = []
    for ask in asked:
        request = ask.request
        if request.get("wait") or ask.rejected or not request.get("side", {}).get("pokemon"):
            continue
        at = min(ask.after_line, len(lines))
        found.append(Ask(at, turns[at], phase_of(request), request, cleaned(ask.choice)))
    return found


def cleaned(choice: str | None) -> str:
    """Without the marks of a simulator's input (`>p1 move 1`)."""
    text = (choice or "").strip()
    text = text[4:] if text.startswith((">p1 ", ">p2 ")) else text
    return text.removeprefix("/choose ").strip()


def phase_of(request: Mapping[str, Any]) -> str:
    """Why the player was asked."""
    if request.get("teamPreview"):
        return PREVIEW
    if not (request.get("forceSwitch") or [False])[0]:
        return TURN
    rows = request["side"]["pokemon"]
    if any(row.get("reviving") for row in rows):
        return REVIVAL
    gone = any(row.get("active") and row["condition"].endswith(" fnt") for row in rows)
    return FORCED_FAINT if gone else FORCED_PIVOT


def requested_gimmicks(request: Mapping[str, Any]) -> tuple[bool, bool, bool, bool]:
    """Which of mega, Z, dynamax, tera were offered."""
    active = (request.get("active") or [{}])[0]
    mega = any(active.get(key) for key in ("canMegaEvo", "canMegaEvoX", "canMegaEvoY", "canUltraBurst"))
    return (mega, bool(active.get("canZMove")), bool(active.get("canDynamax")), bool(active.get("canTerastallize")))
