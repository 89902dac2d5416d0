"""First pass over a battle: what was decided when, as far as the log shows it, and what it reveals in hindsight.

Who decides when: every `|turn|` asks both players; a fainted active or a pivot asks its player again in the same
turn. What counts as the label: the first thing that the Pokémon did which stood there at the start of the turn.

- A move that something else called (Sleep Talk's, Dancer's, a bounced one) is no choice; `[from]lockedmove` is the
  only one that was open.
- A choice that nobody saw is censored: fainted, flinched or dragged out first (a switch would have come before that,
  so it was a move), or replaced by Encore.
- Nothing shown because the battle ended: no label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from poke_bc.dex import to_id
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
    Arrival,
    Decision,
)
from poke_bc.showdown.lines import entry
from poke_bc.showdown.power import only_base
from poke_bc.showdown.protocol import caller, cannot_move, effect_id, move_id, other, read_condition, read_details
from poke_bc.showdown.record import PLAYERS, SkippedBattle
from poke_bc.showdown.state import Mon

BETWEEN = frozenset({"", "t:", "choice", "c", "c:", "upkeep"})
LEAVING = frozenset({"-end", "-curestatus"})
BINDING = frozenset({"locked", "mustrecharge"})
EJECTING = frozenset({"ejectbutton", "ejectpack", "emergencyexit", "wimpout"})


@dataclass(slots=True)
class Story:
    """What one battle shows from its first to its last line."""

    battle: Battle
    """After the last line."""
    decisions: list[Decision] = field(default_factory=list)
    truth: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Line of a switch -> nickname and details of who came in there under Illusion."""
    returns: dict[int, float] = field(default_factory=dict)
    """Line of a switch -> HP with which the one that left there came back (Regenerator)."""
    complete: bool = False
    """It ended by the last Pokémon fainting, not by a forfeit or in the middle."""


def read_story(lines: Sequence[str], gen: int) -> Story:
    """Walk through the log once. Raises SkippedBattle."""
    return _Reader(lines, gen).run()


class _Reader:
    def __init__(self, lines: Sequence[str], gen: int) -> None:
        self.lines = lines
        self.battle = Battle(gen)
        self.story = Story(self.battle)
        self.open: dict[str, Decision | None] = dict.fromkeys(PLAYERS)
        self.entered: dict[str, int] = {}
        self.came: dict[str, Decision | None] = dict.fromkeys(PLAYERS)
        self.left: dict[Mon, tuple[int, float]] = {}
        """Who left the field, in which line, with what HP."""
        self.came_back: dict[str, tuple[Mon, int, float]] = {}
        self.ejected: set[str] = set()
        self.fainted_at: dict[str, int] = {}
        self.said: dict[str, str] = {}
        self.arrivals: list[Arrival] = []
        self.forfeited = False
        self.started = False
        self.handlers: dict[str, Callable[[int, list[str]], None]] = {
            "turn": self._turn, "switch": self._switch, "drag": self._drag, "move": self._move, "cant": self._cant,
            "faint": self._faint, "-mega": self._gimmick, "-burst": self._gimmick, "-zpower": self._gimmick,
            "-terastallize": self._gimmick, "-start": self._start, "-heal": self._heal, "-enditem": self._eject,
            "-activate": self._activate, "upkeep": self._upkeep, "start": self._begin, "choice": self._choice,
            "-message": self._message, "message": self._message,
        }

    def run(self) -> Story:
        read = self.battle.read
        for number, line in enumerate(self.lines):
            kind = line[1:].split("|", 1)[0]
            handler = self.handlers.get(kind)
            if handler is not None:
                parts = line.split("|")
                try:
                    handler(number, parts)
                except (IndexError, KeyError, ValueError):
                    raise SkippedBattle("damaged line", kind) from None
            read(line)
            if kind == "turn":
                self._ask(number)
            elif kind == "replace":
                self._unmask(line.split("|"))
        return self._end()

    # --- turns ---------------------------------------------------------------------------------------------

    def _begin(self, number: int, parts: list[str]) -> None:
        self.started = True
        for player, side in self.battle.sides.items():
            if side.previewed:
                self.open[player] = self._new(player, PREVIEW, number)

    def _turn(self, number: int, parts: list[str]) -> None:
        self._close(NO_LABEL if not self.battle.turn else CENSORED)
        self.ejected.clear()

    def _upkeep(self, number: int, parts: list[str]) -> None:
        self._close(CENSORED)

    def _ask(self, number: int) -> None:
        for player, side in self.battle.sides.items():
            if side.active is not None and not side.active.fainted:
                self.open[player] = self._new(player, TURN, number + 1)

    def _close(self, label: str) -> None:
        """The turn's actions are over; what did not show, will not."""
        for player, decision in self.open.items():
            if decision is not None and not decision.resolved:
                if decision.label != CENSORED:
                    decision.label = label if decision.phase == TURN else NO_LABEL
                    decision.among = AMONG_SWITCHES if decision.pursued else AMONG_MOVES
                decision.resolved = True
            self.open[player] = None

    def _new(self, player: str, phase: str, at: int) -> Decision:
        decision = Decision(player, phase, self.battle.turn, at)
        said = self.said.pop(player, "")
        if phase == TURN:
            active = self.battle.sides[player].active
            if active is not None:
                decision.active, decision.copied = active, active.copied
                decision.bound = bool(active.charging or BINDING & active.volatiles.keys())
        else:
            decision.choice = said
        self.story.decisions.append(decision)
        return decision

    def _pending(self, ident: str) -> Decision | None:
        decision = self.open.get(ident[:2])
        return decision if decision is not None and not decision.resolved else None

    def _censor(self, decision: Decision, among: str) -> None:
        decision.label, decision.among, decision.resolved = CENSORED, among, True

    # --- what shows a choice ----------------------------------------------------------------------------------

    def _move(self, number: int, parts: list[str]) -> None:
        decision = self._pending(parts[2])
        how = caller(parts)
        if how == "ability" and move_id(parts[3]) == "partingshot":  # Magic Bounce: the one that returns it leaves
            self.ejected.add(parts[2][:2])
        if decision is None or how in ("ability", "other", "sleeptalk"):
            return
        side = self.battle.sides[parts[2][:2]]
        if decision.encored:
            self._censor(decision, AMONG_MOVES)
            return
        decision.label, decision.resolved, decision.move = OBSERVED, True, move_id(parts[3])
        if decision.gimmick == "z":
            decision.power = "" if parts[3].startswith("Z-") else "z"
            if decision.power and (base := only_base(self.battle.dex, decision.move)) and decision.active is not None:
                decision.move, decision.power = base, ""
                decision.active.told.add(base)
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
        named = parts[4] if len(parts) > 4 and not parts[4].startswith("[") else ""
        only = {"recharge": "recharge", "partiallytrapped": "fight"}.get(parts[3])
        if only:
            decision.label, decision.locked, decision.resolved = NO_LABEL, only, True
        elif named and not decision.encored:
            decision.label, decision.move, decision.resolved = OBSERVED, move_id(named), True
        else:
            self._censor(decision, AMONG_MOVES)
            decision.resolved = parts[3] != "slp"  # Sleep Talk or Snore may follow

    def _faint(self, number: int, parts: list[str]) -> None:
        player = parts[2][:2]
        self.fainted_at[player] = number
        decision = self._pending(parts[2])
        if decision is not None:
            self._censor(decision, AMONG_SWITCHES if decision.pursued else AMONG_MOVES)

    def _drag(self, number: int, parts: list[str]) -> None:
        decision = self._pending(parts[2])
        if decision is not None and decision.phase == TURN:
            self._censor(decision, AMONG_MOVES)
        self._moved_in(number, parts, None)

    def _switch(self, number: int, parts: list[str]) -> None:
        player = parts[2][:2]
        if player not in self.battle.sides:
            raise SkippedBattle("not singles", parts[2][:3])
        active = self.battle.sides[player].active
        decision = self._pending(parts[2])
        if active is None:  # the lead
            self._moved_in(number, parts, decision if decision and decision.phase == PREVIEW else None)
            return
        if decision is not None and decision.phase == TURN and player in self.ejected and not active.fainted:
            self._censor(decision, AMONG_MOVES)
            decision = None
        if decision is None or active.fainted:
            self.ejected.discard(player)
            phase = FORCED_FAINT if active.fainted else FORCED_PIVOT
            decision = self._new(player, phase, self._frozen_at(player, number, phase))
        self._moved_in(number, parts, decision)

    def _frozen_at(self, player: str, number: int, phase: str) -> int:
        """Before the lines of this switch; before the opponent's, where both were asked together."""
        at = self._back(number)
        rival = other(player)
        last = next((d for d in reversed(self.story.decisions) if d.player == rival), None)
        if (
            phase == FORCED_FAINT and last is not None and last.phase == FORCED_FAINT
            and last.turn == self.battle.turn and self.fainted_at.get(player, number) < last.at
        ):
            return last.at
        return at

    def _back(self, number: int) -> int:
        """Step back over silent lines, to where the choice was asked for."""
        while number > 0:
            line = self.lines[number - 1]
            kind = line[1:].split("|", 1)[0]
            if kind in BETWEEN or (kind in LEAVING and line.endswith("[silent]")):
                number -= 1
            else:
                break
        return number

    def _moved_in(self, number: int, parts: list[str], decision: Decision | None) -> None:
        """Somebody comes in by this line; it resolves `decision`."""
        player = parts[2][:2]
        side = self.battle.sides[player]
        old = side.active
        if old is not None and not old.fainted:
            self.left[old] = (number, old.hp)
        self._look_ahead(number, parts, decision)
        self.entered[player] = number
        self.came[player] = decision

    def _look_ahead(self, number: int, parts: list[str], decision: Decision | None) -> None:
        """Find who that is before the tracker reads the line."""
        side = self.battle.sides[parts[2][:2]]
        condition = read_condition(parts[4]) if len(parts) > 4 else None
        nick, details = parts[2].split(": ", 1)[1], read_details(parts[3])
        mon = entry.find(self.battle, side, nick, details, condition.hp if condition else None)
        if mon is not None and mon in self.left:
            line, hp = self.left.pop(mon)
            if condition is not None and condition.hp > hp + 1e-9:
                self.story.returns[line] = condition.hp
            self.came_back[side.player] = (mon, line, hp)
        else:
            self.came_back.pop(side.player, None)
        mon = mon or entry.add(self.battle, side, nick, details)
        self.arrivals.append(Arrival(side.player, number, mon, decision))
        if decision is not None:
            decision.label, decision.resolved, decision.target = OBSERVED, True, mon

    # --- Illusion ----------------------------------------------------------------------------------------------

    def _unmask(self, parts: list[str]) -> None:
        """The Pokémon that came in was another: so was what its player chose."""
        player = parts[2][:2]
        if player not in self.entered:
            raise SkippedBattle("inconsistent state", "Illusion of nobody")
        self.story.truth[self.entered[player]] = (parts[2].split(": ", 1)[1], parts[3])
        unmasked = self.battle.sides[player].active
        if player in self.came_back:  # it was not this one that came back
            disguise, line, hp = self.came_back.pop(player)
            self.story.returns.pop(line, None)
            self.left[disguise] = (line, hp)
        decision = self.came.get(player)
        if decision is not None:
            decision.target = unmasked
        arrival = next(each for each in reversed(self.arrivals) if each.player == player)
        arrival.mon = unmasked or arrival.mon
        for decision in self.story.decisions:
            if decision.player == player and decision.active is not None and decision.at > self.entered[player]:
                decision.active = unmasked

    # --- what goes with a choice, or takes it away ------------------------------------------------------------------

    def _gimmick(self, number: int, parts: list[str]) -> None:
        names = {"-mega": "mega", "-burst": "mega", "-zpower": "z", "-terastallize": "tera"}
        decision = self._pending(parts[2])
        if decision is not None:
            decision.gimmick = names[parts[1]]

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
        mon = self.battle.mon(parts[2])
        decision = self._new(parts[2][:2], REVIVAL, self._back(number))
        decision.label, decision.target, decision.resolved = OBSERVED, mon, True

    def _eject(self, number: int, parts: list[str]) -> None:
        if to_id(parts[3]) in EJECTING:
            self.ejected.add(parts[2][:2])

    def _activate(self, number: int, parts: list[str]) -> None:
        if len(parts) < 4:
            return
        effect = effect_id(parts[3])
        if effect in EJECTING:
            self.ejected.add(parts[2][:2])
        elif effect == "pursuit" and (decision := self._pending(parts[2])) is not None:
            decision.pursued = True

    def _choice(self, number: int, parts: list[str]) -> None:
        for player, text in zip(PLAYERS, parts[2:4], strict=False):
            decision = self.open.get(player)
            if decision is not None and not decision.resolved and not decision.choice:
                decision.choice = text
            elif text:
                self.said[player] = text  # the switch that it asks for is to come

    def _message(self, number: int, parts: list[str]) -> None:
        text = parts[2] if len(parts) > 2 else ""
        self.forfeited |= "forfeit" in text or "inactivity" in text or "timed out" in text

    # --- the end ---------------------------------------------------------------------------------------------------

    def _end(self) -> Story:
        if not self.started and self.battle.turn == 0:
            raise SkippedBattle("no turn was played")
        sides = self.battle.sides.values()
        beaten = any(side.mons and side.alive == 0 for side in sides)
        self.story.complete = beaten and not self.forfeited
        self._close(CENSORED if self.story.complete else NO_LABEL)
        if not self.story.complete:
            for player, side in self.battle.sides.items():
                if side.active is not None and side.active.fainted and side.alive > 0:
                    self._new(player, FORCED_FAINT, self._back(len(self.lines)))
        use_choices(self.story.decisions, self.arrivals, self.battle.dex)
        return self.story
