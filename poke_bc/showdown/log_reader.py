"""First pass over a battle's log: each decision, and what the log shows of it, with hindsight.

When a decision is made: every `|turn|` is one for both players; a fainted active Pokémon or a pivot is another for its
player in the same turn. The label is the first action of the Pokémon that was active at the start of the turn.

- A move that something else called (Sleep Talk's, Dancer's, a bounced one) is not a choice; `[from]lockedmove` was the
  only move that was open.
- A choice that did not show is censored: the Pokémon fainted, flinched or was dragged out first (a switch would have
  come before that, so it was a move), or Encore replaced its move. Pursuit strikes one that leaves: it was a switch.
- A choice that did not show because the battle ended has no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from poke_bc.dex import to_id
from poke_bc.showdown.arrivals import Arrivals
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.choices import use_choices
from poke_bc.showdown.decision import (
    AMONG_MOVES,
    AMONG_SWITCHES,
    CENSORED,
    FORCED_FAINT,
    FORCED_PIVOT,
    NO_LABEL,
    OBSERVED,
    PREVIEW,
    REVIVAL,
    TURN,
    OpenDecision,
)
from poke_bc.showdown.lines.effects import BINDING_MOVES
from poke_bc.showdown.power import only_base
from poke_bc.showdown.protocol import UNKNOWN, caller, cannot_move, cause_of, effect_id, move_id, other
from poke_bc.showdown.record import PLAYERS, SkippedBattle
from poke_bc.showdown.request_lines import request_before
from poke_bc.showdown.silence import Silence
from poke_bc.showdown.tracker import LineListener, follow, together

FORCING, BINDING = frozenset({"locked", "mustrecharge"}), frozenset({"binding", "partiallytrapped"})
"""Volatiles that leave no choice of a move; BINDING only in generation 1."""
EJECTING = frozenset({"ejectbutton", "ejectpack", "emergencyexit", "wimpout"})
CARRIED_OUT = 4
"""Until this generation a switch still happens after Pursuit knocks out the Pokémon that was leaving."""
GIMMICK_LINES = {"-mega": "mega", "-burst": "mega", "-zpower": "z", "-terastallize": "tera"}


class LogReader:
    """Reads the log of one battle from its first to its last line.

    Attributes:
        battle: the state after the last line read.
        decisions: of both players, in order.
        turns: their numbers, in order.
        arrivals: who came in, with what Illusion and Regenerator tell about earlier lines.
    """

    def __init__(
        self, lines: Sequence[str], gen: int, tier: str = UNKNOWN,
        illusions: Mapping[int, tuple[str, str]] | None = None,
    ) -> None:
        self.lines = lines
        self.battle = Battle(gen, illusions=illusions, tier=tier)
        self.decisions: list[OpenDecision] = []
        self.turns: list[int] = []
        self.arrivals = Arrivals(self.battle)
        self._open: dict[str, OpenDecision | None] = dict.fromkeys(PLAYERS)
        self._ejected: set[str] = set()
        self._fainted_at: dict[str, int] = {}
        self._early_choices: dict[str, str] = {}
        self._forfeited = False
        self._previewed_at = 0

    def read(self) -> None:
        """Read all lines. Raises SkippedBattle."""
        before: dict[str, LineListener] = {
            "turn": self._turn, "switch": self._switch, "drag": self._drag, "move": self._move, "cant": self._cant,
            "faint": self._faint, "-start": self._start, "-heal": self._heal, "-enditem": self._end_item,
            "-activate": self._activate, "upkeep": self._upkeep, "teampreview": self._preview, "start": self._begin,
            "choice": self._choice, "-message": self._message, "message": self._message,
            **dict.fromkeys(GIMMICK_LINES, self._gimmick),
        }
        after: dict[str, LineListener] = {"turn": self._open_turn, "replace": self._replace}
        silence = Silence(self.battle)
        follow(self.battle, self.lines, together(silence.before, before), together(silence.after, after))
        self._end()

    # --- turns ------------------------------------------------------------------------------------------------------

    def _preview(self, number: int, parts: list[str]) -> None:
        self._previewed_at = number + 1

    def _begin(self, number: int, parts: list[str]) -> None:
        for player, side in self.battle.sides.items():
            if side.listed:
                self._open[player] = self._new(player, PREVIEW, self._previewed_at or number)

    def _turn(self, number: int, parts: list[str]) -> None:
        self._close(NO_LABEL if not self.battle.turn else CENSORED)
        self._ejected.clear()

    def _upkeep(self, number: int, parts: list[str]) -> None:
        self._close(CENSORED)

    def _open_turn(self, number: int, parts: list[str]) -> None:
        self.turns.append(self.battle.turn)
        for player, side in self.battle.sides.items():
            if side.active is not None and not side.active.fainted:
                self._open[player] = self._new(player, TURN, number + 1)

    def _close(self, label: str) -> None:
        """The turn's actions are over: a choice that has not shown by now will not."""
        for player, decision in self._open.items():
            if decision is not None and not decision.resolved:
                if decision.label != CENSORED:
                    decision.label = label if decision.phase == TURN else NO_LABEL
                    decision.among = AMONG_SWITCHES if decision.pursued else AMONG_MOVES
                decision.resolved = True
            self._open[player] = None

    def _new(self, player: str, phase: str, at: int) -> OpenDecision:
        decision = OpenDecision(player, phase, self.battle.turn, at)
        early_choice = self._early_choices.pop(player, "")
        if phase != TURN:
            decision.choice = early_choice
        elif (active := self.battle.sides[player].active) is not None:
            decision.active, decision.copied = active, active.copied
            decision.bound = bool(active.charging or not FORCING.isdisjoint(active.volatiles)
                                  or (self.battle.gen == 1 and not BINDING.isdisjoint(active.volatiles)))
        self.decisions.append(decision)
        return decision

    def _pending(self, ident: str) -> OpenDecision | None:
        decision = self._open.get(ident[:2])
        return decision if decision is not None and not decision.resolved else None

    # --- what shows a choice ----------------------------------------------------------------------------------------

    def _move(self, number: int, parts: list[str]) -> None:
        decision = self._pending(parts[2])
        how = caller(parts)
        if how == "ability" and move_id(parts[3]) == "partingshot":  # Magic Bounce: its holder leaves
            self._ejected.add(parts[2][:2])
        if move_id(parts[3]) == "pursuit" and effect_id(cause_of(parts) or "") == "pursuit":
            self._pursue(other(parts[2][:2]))
        if decision is None or how in ("ability", "other", "sleeptalk"):
            return
        side = self.battle.sides[parts[2][:2]]
        held_on = self.battle.gen == 1 and how == "locked" and move_id(parts[3]) in BINDING_MOVES and not decision.bound
        if decision.encored or held_on:  # Wrap may go on whichever move was chosen
            decision.censor(AMONG_MOVES)
            return
        decision.label, decision.resolved, decision.move = OBSERVED, True, move_id(parts[3])
        if decision.gimmick == "z":
            decision.power = "" if parts[3].startswith("Z-") else "z"
            if decision.power and (base := only_base(self.battle.dex, decision.move)) and decision.active is not None:
                decision.move, decision.power = base, ""
                decision.active.implied_moves.add(base)
        elif side.dynamaxed:
            decision.power = "max"
        if how == "locked":
            decision.locked = decision.move
        elif decision.move == "struggle":
            decision.label, decision.locked = NO_LABEL, "struggle"

    def _cant(self, number: int, parts: list[str]) -> None:
        decision = self._pending(cannot_move(parts))
        if decision is None:
            return
        move = parts[4] if len(parts) > 4 and not parts[4].startswith("[") else ""
        only = {"recharge": "recharge", "partiallytrapped": "fight" if decision.bound else ""}.get(parts[3])
        if only:
            decision.label, decision.locked, decision.resolved = NO_LABEL, only, True
        elif move and not decision.encored:
            decision.label, decision.move, decision.resolved = OBSERVED, move_id(move), True
        else:
            decision.censor(AMONG_MOVES)
            decision.resolved = parts[3] != "slp"  # Sleep Talk or Snore may follow

    def _faint(self, number: int, parts: list[str]) -> None:
        self._fainted_at[parts[2][:2]] = number
        decision = self._pending(parts[2])
        if decision is None:
            return
        if not decision.pursued:
            decision.censor(AMONG_MOVES)
        elif self.battle.gen > CARRIED_OUT:
            decision.censor(AMONG_SWITCHES)

    def _pursue(self, player: str) -> None:
        """Pursuit strikes the player's Pokémon as it leaves."""
        decision = self._pending(player)
        if decision is not None:
            decision.pursued = True

    def _drag(self, number: int, parts: list[str]) -> None:
        decision = self._pending(parts[2])
        if decision is not None and decision.phase == TURN:
            decision.censor(AMONG_MOVES)
        self.arrivals.come_in(number, parts, None)

    def _switch(self, number: int, parts: list[str]) -> None:
        player = parts[2][:2]
        if player not in self.battle.sides:
            raise SkippedBattle("not singles", parts[2][:3])
        active = self.battle.sides[player].active
        decision = self._pending(parts[2])
        if active is None:  # the lead
            self.arrivals.come_in(number, parts, decision if decision and decision.phase == PREVIEW else None)
            return
        if decision is not None and decision.phase == TURN and player in self._ejected and not active.fainted:
            decision.censor(AMONG_MOVES)
            decision = None
        if decision is None or (active.fainted and not decision.pursued):
            self._ejected.discard(player)
            phase = FORCED_FAINT if active.fainted else FORCED_PIVOT
            decision = self._new(player, phase, self._forced_at(player, number, phase))
        self.arrivals.come_in(number, parts, decision)

    def _forced_at(self, player: str, number: int, phase: str) -> int:
        """When a forced switch was decided: before its lines; if both players had to replace, before the first's."""
        rival = other(player)
        last = next((each for each in reversed(self.decisions) if each.player == rival), None)
        if (
            phase == FORCED_FAINT and last is not None and last.phase == FORCED_FAINT
            and last.turn == self.battle.turn and self._fainted_at.get(player, number) < last.at
        ):
            return last.at
        return request_before(self.lines, number)

    def _replace(self, number: int, parts: list[str]) -> None:
        self.arrivals.unmask(parts, self.decisions)

    # --- what goes with a choice, or prevents it --------------------------------------------------------------------

    def _gimmick(self, number: int, parts: list[str]) -> None:
        decision = self._pending(parts[2])
        if decision is not None:
            decision.gimmick = GIMMICK_LINES[parts[1]]

    def _start(self, number: int, parts: list[str]) -> None:
        decision = self._pending(parts[2])
        if decision is None:
            return
        effect = effect_id(parts[3])
        if effect == "dynamax":
            decision.gimmick = "dynamax"
        elif effect == "encore":
            decision.encored = True

    def _heal(self, number: int, parts: list[str]) -> None:
        if "Revival Blessing" not in parts[-1]:
            return
        player, nick = parts[2].split(": ", 1)
        decision = self._new(player, REVIVAL, request_before(self.lines, number))
        decision.resolved = True
        if sum(mon.fainted and mon.nick == nick for mon in self.battle.sides[player].mons) == 1:
            decision.label, decision.mon = OBSERVED, self.battle.mon(parts[2], parts)

    def _end_item(self, number: int, parts: list[str]) -> None:
        if to_id(parts[3]) in EJECTING:
            self._ejected.add(parts[2][:2])

    def _activate(self, number: int, parts: list[str]) -> None:
        if len(parts) < 4:
            return
        effect = effect_id(parts[3])
        if effect in EJECTING:
            self._ejected.add(parts[2][:2])
        elif effect == "pursuit":
            self._pursue(parts[2][:2])

    def _choice(self, number: int, parts: list[str]) -> None:
        for player, text in zip(PLAYERS, parts[2:4], strict=False):
            decision = self._open.get(player)
            if decision is not None and not decision.resolved and not decision.choice:
                decision.choice = text
            elif text:
                self._early_choices[player] = text  # of a forced switch that is still to come

    def _message(self, number: int, parts: list[str]) -> None:
        text = parts[2] if len(parts) > 2 else ""
        self._forfeited |= "forfeit" in text or "inactivity" in text or "timed out" in text

    # --- the end ----------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        if not self.battle.started and self.battle.turn == 0:
            raise SkippedBattle("no turn was played")
        sides = self.battle.sides.values()
        is_complete = any(side.mons and side.alive == 0 for side in sides) and not self._forfeited
        self._close(CENSORED if is_complete else NO_LABEL)
        if not is_complete:
            for player, side in self.battle.sides.items():
                if side.active is not None and side.active.fainted and side.alive > 0:
                    self._new(player, FORCED_FAINT, request_before(self.lines, len(self.lines)))
        use_choices(self.decisions, self.arrivals.all, self.battle.dex)
