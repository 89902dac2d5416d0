"""Boosts, volatiles, weather and hazards: the lines that change them."""

from __future__ import annotations

from truth.names import toid
from truth.shown import LAYERS, ROOMS, SIDE_CONDITIONS, STATS, TERRAINS, Field, volatile_id


class Effects(Field):
    """A field that reads the lines about boosts, volatiles, weather, terrain and side conditions."""

    def _boost(self, words: list[str], sign: int) -> None:
        if hit := self.find(words[0]):
            now = hit[0].boosts.get(words[1], 0) + sign * int(words[2])
            hit[0].boosts[words[1]] = max(-6, min(6, now))

    def on_minor_boost(self, words: list[str], _: dict[str, str]) -> None:
        self._boost(words, 1)

    def on_minor_unboost(self, words: list[str], _: dict[str, str]) -> None:
        self._boost(words, -1)

    def on_minor_setboost(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].boosts[words[1]] = int(words[2])

    def on_minor_clearboost(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].boosts = {}

    def on_minor_clearallboost(self, _words: list[str], _: dict[str, str]) -> None:
        for side in self.sides.values():
            side.boosts = {}

    def on_minor_clearpositiveboost(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].boosts = {stat: n for stat, n in hit[0].boosts.items() if n < 0}

    def on_minor_clearnegativeboost(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].boosts = {stat: n for stat, n in hit[0].boosts.items() if n > 0}

    def on_minor_invertboost(self, words: list[str], _: dict[str, str]) -> None:
        if hit := self.find(words[0]):
            hit[0].boosts = {stat: -n for stat, n in hit[0].boosts.items()}

    def on_minor_copyboost(self, words: list[str], _: dict[str, str]) -> None:
        hit, model = self.find(words[0]), self.find(words[1])
        if hit and model:
            hit[0].boosts = dict(model[0].boosts)

    def on_minor_swapboost(self, words: list[str], _: dict[str, str]) -> None:
        hit, other = self.find(words[0]), self.find(words[1])
        if hit and other:
            stats = words[2].replace(" ", "").split(",") if len(words) > 2 and words[2] else STATS
            for stat in stats:
                mine, theirs = hit[0].boosts.get(stat, 0), other[0].boosts.get(stat, 0)
                hit[0].boosts[stat], other[0].boosts[stat] = theirs, mine

    # --- volatiles

    def on_minor_start(self, words: list[str], _: dict[str, str]) -> None:
        if not (hit := self.find(words[0])) or len(words) < 2:
            return
        side, effect = hit[0], volatile_id(words[1])
        if effect == "dynamax":
            side.gimmicks.add("dynamax")
            side.dynamaxed_in = self.turn
        elif effect == "mimic" and len(words) > 2:
            for mon in (hit[1], self.sides["p2" if hit[0] is self.sides["p1"] else "p1"].active):
                if mon is not None:  # the one has it now, the other has it as its own
                    mon.lent.add(toid(words[2]))
            hit[1].tricky = True
        elif effect.startswith("perish"):
            side.volatiles.add("perish")
        elif effect in ("reflect", "lightscreen", "mist"):  # generation 1 ties them to the Pokémon
            side.since["volatile " + effect] = self.upkeeps
        side.volatiles.add(effect)

    def on_minor_end(self, words: list[str], _: dict[str, str]) -> None:
        if not (hit := self.find(words[0])) or len(words) < 2:
            return
        effect = volatile_id(words[1])
        hit[0].volatiles.discard(effect)
        hit[0].since.pop("volatile " + effect, None)
        if effect == "dynamax":
            hit[0].dynamaxed_in = None

    def on_minor_activate(self, words: list[str], _: dict[str, str]) -> None:
        if (hit := self.find(words[0])) and len(words) > 2:
            hit[1].lent.add(toid(words[2]))
            hit[1].tricky |= volatile_id(words[1]) == "mimic"

    # --- field and sides

    def on_minor_weather(self, words: list[str], tags: dict[str, str]) -> None:
        weather = toid(words[0])
        if "upkeep" in tags and weather == self.weather:
            return
        self.weather, self.weather_since = weather, self.upkeeps

    def on_minor_fieldstart(self, words: list[str], _: dict[str, str]) -> None:
        name = volatile_id(words[0])
        if name in TERRAINS:
            self.terrain, self.terrain_since = name, self.upkeeps
        elif name in ROOMS:
            self.rooms[ROOMS[name]] = self.upkeeps

    def on_minor_fieldend(self, words: list[str], _: dict[str, str]) -> None:
        name = volatile_id(words[0])
        if name == self.terrain:
            self.terrain = "none"
        self.rooms.pop(ROOMS.get(name, ""), None)

    def on_minor_sidestart(self, words: list[str], _: dict[str, str]) -> None:
        side, name = self.sides[words[0][:2]], SIDE_CONDITIONS.get(volatile_id(words[1]), "")
        if name:
            side.since[name] = self.upkeeps
            side.layers[name] = min(side.layers.get(name, 0) + 1, LAYERS.get(name, 1))

    def on_minor_sideend(self, words: list[str], _: dict[str, str]) -> None:
        side, name = self.sides[words[0][:2]], SIDE_CONDITIONS.get(volatile_id(words[1]), "")
        side.since.pop(name, None)
        side.layers.pop(name, None)

    def on_minor_swapsideconditions(self, _words: list[str], _: dict[str, str]) -> None:
        one, two = self.sides["p1"], self.sides["p2"]
        one.since, two.since = two.since, one.since
        one.layers, two.layers = two.layers, one.layers
