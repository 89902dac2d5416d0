"""Both sides of a battle and their Pokémon, as plain values.

One state serves both players. What a Pokémon really is, which its own player knows, and what was shown of it, which is
all that the opponent knows, are kept side by side: `hp` and `hp_shown`, `own_set` and `moves`. Only under Illusion do
the players see different Pokémon; then each has a state of its own, in which `disguise` is for own Pokémon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from poke_bc.contract.actions import TEAM_SLOTS
from poke_bc.dex import Dex
from poke_bc.showdown.protocol import NONE, UNKNOWN, Details

MEGA, Z, DYNAMAX, TERA = range(4)
"""Indices in lists of gimmicks."""

class OwnSet(msgspec.Struct, frozen=True, gc=False):
    """What a player knows of an own Pokémon from the start."""

    moves: tuple[str, ...]
    """At most four, ordered by name."""
    item: str = UNKNOWN
    ability: str = UNKNOWN
    tera: str = UNKNOWN
    imputed: frozenset[str] = frozenset()
    """What was imputed, not shown: "item", "ability", "tera", "species", "hiddenpowertype" and ids of moves."""
    hidden_power: str = NONE
    """The type of its Hidden Power; "none" if it has no such move."""


class RequestedState(msgspec.Struct, frozen=True, gc=False):
    """An own Pokémon in the player's latest request."""

    hp: float
    status: str
    fainted: bool
    item: str
    ability: str
    """"unknown" in generations 3 to 6, whose requests name only the one that it returns with."""
    moves: tuple[str, ...]
    """In the request's order; of the active Pokémon those it has now (Transform, Mimic)."""
    pp_used: tuple[int, ...] | None = None
    """Of the active Pokémon, per move."""
    hidden_power: str = NONE
    """The type of the Hidden Power among these moves, its own or copied."""


@dataclass(slots=True, eq=False)
class Mon:
    """One Pokémon of a team."""

    nick: str
    details: Details
    """As brought to the battle, so far as known."""
    base: str
    """Base species, which all formes share."""
    forme: str
    """Its actual current forme."""
    own_set: OwnSet | None = None
    requested: RequestedState | None = None
    stats: Mapping[str, int] | None = None
    """hp, atk, def, spa, spd, spe without Dynamax, where a request gives them."""
    slot: int = -1
    """Index in the own team; -1 for Pokémon of a team that is not known."""
    bench_changes: int = 0
    """Increased whenever it may have changed while not active, so that what was derived from it can be kept."""
    previewed: str = ""
    """Species as team preview showed it, which hides some formes (`Arceus-*`)."""
    seen: bool = False
    brought: bool = True
    """Of an own Pokémon: whether it fights, not just stands in the team preview."""
    hp: float = 1.0
    hp_shown: float = 1.0
    status: str = NONE
    status_turns: int = 0
    fainted: bool = False
    item: str = UNKNOWN
    last_item: str = NONE
    first_item: str = UNKNOWN
    """The item it was brought with, once that is certain."""
    item_shown: bool = False
    absent: frozenset[str] = frozenset()
    """First pass: items and abilities that would have shown themselves (poke_bc.showdown.silence)."""
    ability: str = UNKNOWN
    first_ability: str = UNKNOWN
    """The ability it returns with; unknown after a lasting change of forme."""
    brought_ability: str = UNKNOWN
    ability_shown: bool = False
    ability_changed: bool = False
    """Whether it has another's ability until it leaves (Skill Swap, Mummy, Transform ...), even if not known which."""
    tera: str = UNKNOWN
    terastallized: bool = False
    moves: dict[str, int] = field(default_factory=dict)
    """Moves shown, in order, with PP used."""
    implied_moves: set[str] = field(default_factory=set)
    """Moves it must have because a Pokémon transformed into it used them, or a `|choice|` line named them."""
    powered: dict[tuple[str, str], int] = field(default_factory=dict)
    """("z" or "max", id) of Z-Moves and Max Moves shown -> PP that their base moves lost."""
    hidden_power: tuple[str, ...] = ()
    """The types that its Hidden Power may have, as far as its effect has told; () for any."""
    sketched: str = ""
    """The move that has taken the place of Sketch for good."""
    # --- reset when it leaves the field ---
    boosts: list[int] = field(default_factory=lambda: [0] * 7)
    volatiles: dict[str, int] = field(default_factory=dict)
    """Effect -> turn in which it began (a count for `stockpile` and `perish`)."""
    types: tuple[str, ...] | None = None
    """Types set by an effect."""
    added_type: str = ""
    """A further type, by Forest's Curse or Trick-or-Treat."""
    last_move: str = NONE
    repeats: int = 0
    """How often it has used `last_move` in a row since it came in."""
    came_in: int = 0
    protect_streak: int = 0
    copied: Mon | None = None
    """The Pokémon it transformed into."""
    copied_moves: dict[str, int] = field(default_factory=dict)
    """Moves shown of those that Transform or Mimic gave it, with PP used."""
    mimicked: str = ""
    """The move that has taken the place of Mimic."""
    temporary_forme: str = ""
    disguise: Mon | None = None
    """The Pokémon it appears as under Illusion, where that is known."""
    charging: str = ""
    """The two-turn move that it will complete."""
    rampage: str = ""
    """The move that `volatiles["locked"]` is about, its own or one that it called."""
    choice_locked: str = ""
    """The move that a choice item locks it into."""
    disabled: str = ""
    encored: str = ""
    stint_moves: set[str] = field(default_factory=set)
    """Moves used since it came in."""
    substitute_hits: int = 0
    """Hits that its Substitute has withstood."""
    boosted_stat: str = NONE
    """The stat that Protosynthesis or Quark Drive boosts."""
    fallen: int = 0
    """Fainted allies that Supreme Overlord counted when it came in."""

    def leave(self) -> None:
        """Reset what ends when it leaves the field."""
        self.boosts = [0] * 7
        self.last_move, self.protect_streak, self.repeats = NONE, 0, 0
        self.disguise, self.boosted_stat = None, NONE
        self.disabled = self.encored = self.choice_locked = ""
        self.stint_moves = set()
        self.substitute_hits = self.fallen = 0
        self.change_back()
        if self.status == "tox":
            self.status_turns = 0

    def change_back(self) -> None:
        """Reset what ends when it leaves the field or faints: what others did to it, what it copied."""
        self.volatiles = {}
        self.types, self.added_type, self.temporary_forme = None, "", ""
        self.copied, self.copied_moves, self.mimicked = None, {}, ""
        self.charging = self.rampage = ""
        self.ability, self.ability_changed = self.first_ability, False

    @property
    def shape(self) -> str:
        """Its forme as it stands in the field: Transform and temporary changes included."""
        return self.temporary_forme or self.forme

    def current_types(self, dex: Dex) -> tuple[str, str]:
        """Both types ("none" if there is one), with terastallization and type changes, without `added_type`."""
        if self.terastallized and self.tera != "stellar":
            return (self.tera, NONE)
        return self.types_below_tera(dex)

    def types_below_tera(self, dex: Dex) -> tuple[str, str]:
        """The types that it has, or would have if it were not terastallized."""
        if self.types is not None:
            return (self.types[0] if self.types else UNKNOWN, self.types[1] if len(self.types) > 1 else NONE)
        return (dex.both_types(self.temporary_forme or self.forme) or dex.both_types(self.forme)
                or dex.both_types(self.base) or (UNKNOWN, NONE))

    @property
    def has_open_item(self) -> bool:
        """Whether neither the item that it holds nor the one that it was brought with is known."""
        return self.item == self.first_item == UNKNOWN

    def certain_ability(self, dex: Dex) -> str:
        """The ability shown, or the only one its species can have."""
        if self.ability != UNKNOWN or self.ability_changed:
            return self.ability
        species = dex.species(self.shape)
        return species.abilities[0] if species is not None and len(species.abilities) == 1 else UNKNOWN

    def use(self, move: str, pp: int = 1) -> None:
        """Record a move of its own as shown."""
        known = self.moves
        if self.copied is not None:
            known = self.copied_moves
            self.copied.implied_moves.add(move)
        elif self.mimicked and move == self.mimicked:
            known = self.copied_moves
        known[move] = known.get(move, 0) + pp

    def restore_pp(self, move: str, pp: int) -> None:
        """Record that a move, shown now if not before, has some of its PP back."""
        known = self.copied_moves if self.copied is not None or move == self.mimicked else self.moves
        known[move] = max(known.get(move, 0) - pp, 0)

    def known_moves(self) -> dict[str, int]:
        """Of the moves that it has now, those shown, in order, with PP used."""
        if self.copied is not None:
            return self.copied_moves
        if not self.mimicked:
            return self.moves
        return {self.mimicked if name == "mimic" else name: self.copied_moves.get(self.mimicked, 0)
                if name == "mimic" else used for name, used in self.moves.items()}


class SideTurn(msgspec.Struct, gc=False):
    """What one side did in one turn."""

    move: str = NONE
    moved_first: bool = False
    switched: bool = False
    crit: bool = False
    missed: bool = False
    failed: bool = False
    damage: float = 0.0
    """What its moves took of the opponent's maximum HP, as shown."""
    mover: Mon | None = None
    against: Mon | None = None
    speed_factors: tuple[float, float] = (1.0, 1.0)
    """If it moved first: who did, against whom, and what stages, paralysis and Tailwind made of both speeds."""
    hurried: bool = False
    """Whether Quick Claw, Custap Berry or Quick Draw let it move first."""


@dataclass(slots=True)
class Side:
    """One player's half of the field."""

    player: str
    mons: list[Mon] = field(default_factory=list)
    shown: list[Mon] = field(default_factory=list)
    """The Pokémon that the opponent knows of, in order of team preview or appearance."""
    active: Mon | None = None
    size: int = TEAM_SLOTS
    """How many Pokémon fight: those brought of the team that preview lists."""
    listed: int = 0
    """How many team preview lists; 0 without one."""
    fallen: int = 0
    """Pokémon that fainted and were not revived."""
    revived: bool = False
    conditions: dict[str, int] = field(default_factory=dict)
    """Screens and the like -> turn in which they began; hazards -> layers."""
    gimmick_used: list[bool] = field(default_factory=lambda: [False] * 4)
    dynamaxed: int = 0
    """Turn in which the active Pokémon dynamaxed; 0 if it is not."""
    wish: int = 0
    """Turn in which Wish was used; 0 for none."""
    future: int = 0
    """Turn in which Future Sight or Doom Desire was aimed at this side; 0 for none."""
    passing: str = ""
    """`batonpass` or `shedtail`, between the move and the switch."""
    this_turn: SideTurn = field(default_factory=SideTurn)
    last_turn: SideTurn = field(default_factory=SideTurn)
    rating: int | None = None
    name: str = ""

    @property
    def alive(self) -> int:
        """Pokémon that have not fainted, those not shown yet included; counted, since a log may hide who it was."""
        return max(self.size - self.fallen, 0)

    @property
    def places(self) -> int:
        """Pokémon that the opponent has to reckon with: all that team preview lists, else all that fight."""
        return max(self.size, self.listed)
