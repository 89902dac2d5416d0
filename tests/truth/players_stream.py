"""A small reader of Showdown's protocol: what one player has been shown so far.

Ages. An age is the number of ends of a turn (`|upkeep|`) since something was set, at least 1 and at most 8: set in
turn 3 it is 1 when turn 4 is chosen, and 2 when turn 5 is; brought by a replacement between turns 3 and 4 it is 1 at
both. Weather that is set anew starts anew; `[upkeep]` goes on.
"""

from __future__ import annotations

import re

from truth.effects import Effects
from truth.names import closeness, condition, toid
from truth.shown import BATON_PASSED, Shown, Side, details

WORDLESS = ("start", "teampreview", "upkeep", "-clearallboost", "-swapsideconditions")


class Board(Effects):
    """Both sides and the field after the lines read so far."""

    def read(self, line: str) -> None:
        """Take in one line. Lines of no consequence are passed over."""
        if not line.startswith("|"):
            return
        kind, *rest = line[1:].split("|")
        words = [word for word in rest if not re.match(r"\[[a-z]+\]", word)]
        tags = {m[1]: m[2] for word in rest if (m := re.match(r"\[([a-z]+)\] ?(.*)", word))}
        if kind in ("c", "c:", "chat", "raw", "html", "uhtml", "j", "l", "n", "-message", "-hint", "player", "rule"):
            return
        reader = getattr(self, "on_" + kind.replace("-", "minor_"), None)
        if reader is not None and (words or kind in WORDLESS):
            reader(words, tags)
        self._note_names(rest)

    def _note_names(self, rest: list[str]) -> None:
        about = [hit[1] for word in rest if (hit := self.find(re.sub(r"^\[of\] ?", "", word)))]
        if not about:
            return
        ids = {toid(re.sub(r"^(\[\w+\] ?)?((item|ability|move): ?)?", "", word)) for word in rest}
        if "[fromitem]" in rest:
            ids.add("boosterenergy")
        swapped = any(word in ("[from] move: Trick", "[from] move: Switcheroo", "[from] move: Skill Swap")
                      for word in rest) or "Skill Swap" in rest
        if swapped:
            about += [side.active for side in self.sides.values() if side.active]
        for mon in about:
            mon.named |= ids

    def _conditioned(self, mon: Shown, text: str) -> None:
        if (read := condition(text)) is None:
            return
        mon.hp, mon.status, mon.fainted = read
        if "/" in text and "/100" not in text:
            self.exact = True

    def on_gen(self, words: list[str], _: dict[str, str]) -> None:
        self.gen = int(words[0])

    def on_turn(self, words: list[str], _: dict[str, str]) -> None:
        self.turn = int(words[0])
        self.upkeeps = self.turn - 1

    def on_upkeep(self, _words: list[str], _: dict[str, str]) -> None:
        self.upkeeps = self.turn

    def on_teamsize(self, words: list[str], _: dict[str, str]) -> None:
        self.sides[words[0]].size = int(words[1])

    def on_poke(self, words: list[str], _: dict[str, str]) -> None:
        species, level, _tera = details(words[1])
        self.preview = True
        self.sides[words[0]].team.append(Shown("", [species], level))

    def on_teampreview(self, _words: list[str], _: dict[str, str]) -> None:
        for side in self.sides.values():
            side.size = len(side.team)

    def on_start(self, _words: list[str], _: dict[str, str]) -> None:
        self.preview = False

    def on_switch(self, words: list[str], tags: dict[str, str]) -> None:
        self._come_in(words, tags.get("from", ""))

    def on_drag(self, words: list[str], _: dict[str, str]) -> None:
        self._come_in(words, "drag")

    def _come_in(self, words: list[str], by: str) -> None:
        player, _, name = words[0].partition(": ")
        side = self.sides[player[:2]]
        leaving = side.active
        species, level, tera = details(words[1])
        mon = self._member(side, name, species, level)
        if leaving is not None:
            if (leaving.regenerated or "regenerator" in leaving.named) and not leaving.fainted:
                leaving.hp = min(leaving.hp + 1 / 3, 1.0)
            leaving.transformed_into = ""
            leaving.formes.append(leaving.formes[0])  # a change by -formechange ends
        if toid(by) == "batonpass":
            side.volatiles &= BATON_PASSED
            side.passed = True
        else:
            side.boosts = {}
            side.volatiles = {"substitute"} if toid(by) == "shedtail" else set()
            side.passed = False
            side.since = {key: turn for key, turn in side.since.items() if not key.startswith("volatile ")}
        side.dynamaxed_in = None
        if mon is leaving and by != "drag":
            side.illusion_moves |= set(mon.stay_moves)
            side.illusion_named |= mon.named
            mon.tricky = True
        if toid(species).startswith(("zoroark", "zorua")):
            mon.lent |= side.illusion_moves
            mon.named |= side.illusion_named
        side.active = mon
        mon.seen = True
        mon.formes[0] = species
        mon.formes.append(species)
        mon.before_stay = (mon.hp, mon.status, mon.tera_used)
        mon.tera, mon.tera_used = tera or mon.tera, mon.tera_used or bool(tera)
        mon.stay_moves = []
        mon.stays += 1
        mon.uncertain = False
        if len(words) > 2:
            self._conditioned(mon, words[2])
            mon.regenerated |= mon.stays > 1 and mon.hp > mon.before_stay[0]

    def _member(self, side: Side, name: str, species: str, level: int) -> Shown:
        known = [mon for mon in side.team if mon.name == name and not mon.fainted
                 and any(closeness(toid(species), forme) for forme in mon.formes)]
        if known:
            return known[0]
        fresh = [(max(closeness(toid(species), forme) for forme in mon.formes), -i, mon)
                 for i, mon in enumerate(side.team) if not mon.name]
        best = max(fresh, key=lambda entry: entry[:2], default=None)
        if best is not None and best[0]:
            best[2].name, best[2].level = name, level
            return best[2]
        mon = Shown(name, [species], level)
        side.team.append(mon)
        return mon

    def on_replace(self, words: list[str], _tags: dict[str, str]) -> None:
        """Illusion ends: who stood there since it came in was another."""
        player, _, name = words[0].partition(": ")
        side = self.sides[player[:2]]
        species, level, tera = details(words[1])
        disguise = side.active
        mon = self._member(side, name, species, level)
        if disguise is not None and disguise is not mon:
            mon.hp, mon.status, mon.fainted = disguise.hp, disguise.status, disguise.fainted
            mon.lent |= set(disguise.stay_moves) | disguise.lent | side.illusion_moves
            mon.named |= disguise.named | side.illusion_named
            mon.moves += [move for move in disguise.stay_moves if move not in mon.moves]
            if disguise.tera_used and not disguise.before_stay[2]:  # else the disguise itself, in an earlier stay
                mon.tera_used, mon.tera = True, disguise.tera
            disguise.lent |= set(disguise.moves)
            disguise.tricky = mon.tricky = True
            disguise.hp, disguise.status, disguise.tera_used = disguise.before_stay
            disguise.fainted = False
            disguise.uncertain = disguise.stays == 1
        mon.seen = True
        mon.tera = tera or mon.tera
        mon.formes.append(species)
        side.active = mon

    def on_detailschange(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].formes.append(details(words[1])[0])
            hit[1].formes[0] = hit[1].formes[-1]

    def on_minor_formechange(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].formes.append(details(words[1])[0])

    def on_minor_transform(self, words: list[str], _: dict[str, str]) -> None:
        hit, model = self.find(words[0]), self.find(words[1])
        if not hit or not model:
            return
        hit[1].transformed_into = model[1].formes[-1]
        hit[1].tricky = True
        hit[1].lent |= set(model[1].moves) | model[1].lent
        hit[1].named |= model[1].named
        hit[0].boosts = dict(model[0].boosts)

    def on_faint(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].hp, hit[1].status, hit[1].fainted = 0.0, "none", True

    def on_minor_damage(self, words: list[str], _: dict[str, str]) -> None:
        if (hit := self.find(words[0])) and len(words) > 1:
            self._conditioned(hit[1], words[1])

    on_minor_heal = on_minor_damage

    def on_minor_sethp(self, words: list[str], _: dict[str, str]) -> None:
        for ident, text in zip(words[::2], words[1::2], strict=False):  # old logs set two in one line
            if hit := self.find(ident):
                self._conditioned(hit[1], text)

    def on_minor_status(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].status = words[1]

    def on_minor_curestatus(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].status = "none"

    def on_minor_cureteam(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            for mon in hit[0].team:
                mon.status = "none"

    # --- moves, items, gimmicks

    def on_move(self, words: list[str], tags: dict[str, str]) -> None:
        if not (hit := self.find(words[0])):
            return
        side, mon = hit
        move = toid(words[1].removeprefix("Z-"))  # generation 7 writes Z-Quiver Dance
        called = bool(tags.get("from")) and toid(tags["from"]) not in ("lockedmove", "pursuit")
        if called or "zeffect" in tags or move.startswith(("max", "gmax")) or mon.transformed_into:
            mon.lent.add(move)
        elif move not in ("struggle", "recharge") and move not in mon.moves:
            mon.moves.append(move)
            mon.stay_moves.append(move)
        elif move not in mon.stay_moves:
            mon.stay_moves.append(move)
        side.volatiles -= {"destinybond"}

    def on_cant(self, words: list[str], _: dict[str, str]) -> None:
        if (hit := self.find(words[0])) and len(words) > 2:
            hit[1].lent.add(toid(words[2]))

    def on_minor_item(self, words: list[str], tags: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].lost_item = False
        taken = toid(tags.get("from", "").split(":")[-1]) in ("thief", "covet", "magician", "pickpocket", "bestow")
        if taken and (giver := self.find(tags.get("of", ""))):
            giver[1].lost_item = True

    def on_minor_enditem(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[1].lost_item = True

    def on_minor_mega(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].gimmicks.add("mega")

    def on_minor_zpower(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].gimmicks.add("z")

    def on_minor_terastallize(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].gimmicks.add("tera")
            hit[1].tera, hit[1].tera_used = words[1], True
