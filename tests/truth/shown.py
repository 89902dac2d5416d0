"""What has been shown of a battle: its Pokémon, its two sides, its field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from truth.names import toid

STATS = ("atk", "def", "spa", "spd", "spe", "accuracy", "evasion")
SIDE_CONDITIONS = {
    "stealthrock": "stealth_rock", "spikes": "spikes", "toxicspikes": "toxic_spikes", "stickyweb": "sticky_web",
    "reflect": "reflect", "lightscreen": "light_screen", "auroraveil": "aurora_veil", "tailwind": "tailwind",
    "safeguard": "safeguard", "mist": "mist",
}
LAYERS = {"stealth_rock": 1, "spikes": 3, "toxic_spikes": 2, "sticky_web": 1}
ROOMS = {"trickroom": "trick_room", "magicroom": "magic_room", "wonderroom": "wonder_room", "gravity": "gravity"}
TERRAINS = ("electricterrain", "grassyterrain", "mistyterrain", "psychicterrain")
VOLATILES = (
    "substitute", "confusion", "leechseed", "taunt", "encore", "disable", "torment", "attract", "yawn", "curse",
    "nightmare", "ingrain", "aquaring", "magnetrise", "healblock", "focusenergy", "saltcure", "flashfire", "slowstart",
    "smackdown",
)
"""The volatiles of the schema that begin and end with a line of their own."""
BATON_PASSED = {"substitute", "confusion", "leechseed", "curse", "ingrain", "aquaring", "magnetrise", "focusenergy",
                "healblock", "perish"}
GIMMICKS = ("mega", "z", "dynamax", "tera")


@dataclass
class Shown:
    """One Pokémon as far as it was shown."""

    name: str
    """The nickname in its ident; "" as long as only team preview showed it."""
    formes: list[str]
    """Species as displayed, the current one last."""
    level: int = 100
    hp: float = 1.0
    status: str = "none"
    fainted: bool = False
    moves: list[str] = field(default_factory=list)
    """Moves of its own that it used, in order."""
    lent: set[str] = field(default_factory=set)
    """Other moves that some line tied to it: called by Metronome, mimicked, copied by Transform, of a disguise."""
    stay_moves: list[str] = field(default_factory=list)
    """Moves shown since it came in."""
    named: set[str] = field(default_factory=set)
    """Every id on the lines that spoke of it: an item or ability that is not here was never shown."""
    regenerated: bool = False
    """It came back with more HP than it left with."""
    lost_item: bool = False
    tera: str = ""
    tera_used: bool = False
    transformed_into: str = ""
    seen: bool = False
    before_stay: tuple[float, str, bool] = (1.0, "none", False)
    stays: int = 0
    uncertain: bool = False
    """Only an Illusion showed it: it may be counted as seen or not."""
    tricky: bool = False
    """Transform, Mimic or Illusion touched it: what belongs to whom is not plain."""


@dataclass
class Side:
    """One player's half of the field."""

    team: list[Shown] = field(default_factory=list)
    active: Shown | None = None
    size: int = 6
    boosts: dict[str, int] = field(default_factory=dict)
    volatiles: set[str] = field(default_factory=set)
    passed: bool = False
    """The active Pokémon came by Baton Pass: only the volatiles that surely pass are known."""
    layers: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    gimmicks: set[str] = field(default_factory=set)
    dynamaxed_in: int | None = None
    illusion_moves: set[str] = field(default_factory=set)
    """Used by a Pokémon that then was replaced by itself: by whoever has Illusion."""
    illusion_named: set[str] = field(default_factory=set)


@dataclass
class Field:
    """Both sides and the field after the lines read so far."""

    gen: int = 9
    turn: int = 0
    upkeeps: int = 0
    """The last turn whose end has passed."""
    preview: bool = False
    weather: str = "none"
    weather_since: int = 0
    terrain: str = "none"
    terrain_since: int = 0
    rooms: dict[str, int] = field(default_factory=dict)
    sides: dict[str, Side] = field(default_factory=lambda: {"p1": Side(), "p2": Side()})
    exact: bool = False
    """Some hit points were not out of 100."""

    def age(self, since: int) -> int:
        return max(1, min(self.upkeeps - since, 8))

    def side_age(self, player: str, name: str) -> int:
        side = self.sides[player]
        return self.age(side.since[name]) if name in side.since else 0

    def find(self, ident: str) -> tuple[Side, Shown] | None:
        """Who "p1a: Kleavor" (or "p1: Kleavor") is."""
        player, _, name = ident.partition(": ")
        side = self.sides.get(player[:2])
        if side is None or not re.fullmatch(r"p[12][a-c]?", player):
            return None
        if player[2:] and side.active is not None and side.active.name == name:
            return side, side.active
        for mon in side.team:
            if mon.name == name:
                return side, mon
        return None


def details(text: str) -> tuple[str, int, str]:
    """"Kleavor, L78, M, tera:Rock" -> (species, level, tera type)."""
    species, *more = text.split(", ")
    level = next((int(word[1:]) for word in more if re.fullmatch(r"L\d+", word)), 100)
    return species, level, next((word[5:] for word in more if word.startswith("tera:")), "")


def volatile_id(effect: str) -> str:
    return toid(re.sub(r"^(move|ability|item): ?", "", effect))
