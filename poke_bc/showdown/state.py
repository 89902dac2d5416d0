"""What is known about the two sides of a battle: Pokémon and sides, as plain values.

One state serves both views. What a Pokémon really is (its player knows) and what of it was shown (all that
its opponent knows) stand beside each other: `hp` and `hp_shown`, `own` and `moves`, `disguise`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from poke_bc.dex import Dex
from poke_bc.showdown.protocol import NONE, UNKNOWN, Details, as_shown

MEGA, Z, DYNAMAX, TERA = range(4)
"""Places in the lists of gimmicks."""

TEAM = 6


@dataclass(frozen=True, slots=True)
class OwnSet:
    """What a player knows of an own Pokémon from the start."""

    moves: tuple[str, ...]
    """At most four, ordered by name."""
    item: str = UNKNOWN
    ability: str = UNKNOWN
    tera: str = UNKNOWN
    imputed: frozenset[str] = frozenset()
    """What was filled in, not shown: "item", "ability", "tera", "species" and ids of moves."""


@dataclass(frozen=True, slots=True)
class OwnNow:
    """What the player's last request said of an own Pokémon."""

    hp: float
    status: str
    fainted: bool
    item: str
    ability: str
    moves: tuple[str, ...]
    """Of the active one as it is now (Transform, Mimic), else as brought; in the order of the team's list."""
    pp_used: tuple[int, ...] | None = None
    """Of the active one."""


@dataclass(frozen=True, slots=True)
class Believed:
    """HP and status as shown last."""

    hp: float
    status: str
    status_turns: int


@dataclass(slots=True, eq=False)
class Mon:
    """One Pokémon of a team."""

    nick: str
    details: Details
    """As it was brought, so far as known."""
    base: str
    """Base species: what stays the same through all formes."""
    forme: str
    """Current forme, as it is."""
    own: OwnSet | None = None
    now: OwnNow | None = None
    stats: Mapping[str, int] | None = None
    """hp, atk, def, spa, spd, spe without dynamax, where a request tells them."""
    slot: int = -1
    """Place among the own six."""
    previewed: str = ""
    """Species as team preview showed it, which hides some formes (`Arceus-*`)."""
    seen: bool = False
    hp: float = 1.0
    hp_shown: float = 1.0
    status: str = NONE
    status_turns: int = 0
    fainted: bool = False
    item: str = UNKNOWN
    last_item: str = NONE
    first_item: str = UNKNOWN
    """The item it was brought with, once that is clear."""
    item_shown: bool = False
    ability: str = UNKNOWN
    first_ability: str = UNKNOWN
    """What it has again when it comes back; unknown after a lasting change of forme."""
    brought_ability: str = UNKNOWN
    ability_shown: bool = False
    tera: str = UNKNOWN
    terastallized: bool = False
    moves: dict[str, int] = field(default_factory=dict)
    """Moves shown, in order, with PP used."""
    told: set[str] = field(default_factory=set)
    """Moves that it must have because somebody who transformed into it used them."""
    powered: set[tuple[str, str]] = field(default_factory=set)
    """("z" or "max", id) of Z-Moves and Max Moves shown."""
    # --- until it leaves the field ---
    boosts: list[int] = field(default_factory=lambda: [0] * 7)
    volatiles: dict[str, int] = field(default_factory=dict)
    """Effect -> turn in which it began (a count for `stockpile` and `perish`)."""
    types: tuple[str, ...] | None = None
    """Where an effect changed them."""
    added_type: str = ""
    last_move: str = NONE
    came_in: int = 0
    protect_streak: int = 0
    copied: Mon | None = None
    """What it transformed into."""
    copied_moves: dict[str, int] = field(default_factory=dict)
    mimicked: str = ""
    temporary_forme: str = ""
    disguise: Mon | None = None
    """What it is shown as, by Illusion."""
    hidden: set[str] = field(default_factory=set)
    """Moves that it used under a disguise alone."""
    credited: dict[str, int] = field(default_factory=dict)
    """Moves that another one used under its looks and that were never taken back."""
    believed: Believed | None = None
    """What its opponent thinks of it where that is wrong, because of Illusion."""
    charging: str = ""
    """The move that it will finish."""
    choice_locked: str = ""
    """The move it is held to by a choice item."""
    disabled: str = ""
    encored: str = ""
    stint_moves: set[str] = field(default_factory=set)
    """Moves used since it came in."""

    def set_hp(self, hp: float, exact: bool, scale: int, display: int) -> None:
        """Take a condition's HP in; the opponent is shown `display` parts where the log was exact."""
        self.hp = hp
        self.hp_shown = as_shown(hp, display) if exact else hp

    def leave(self) -> None:
        """Forget what ends when it leaves the field."""
        self.boosts = [0] * 7
        self.volatiles = {}
        self.types, self.added_type = None, ""
        self.last_move, self.protect_streak = NONE, 0
        self.copied, self.copied_moves, self.mimicked = None, {}, ""
        self.disguise = None
        self.disabled = self.encored = self.choice_locked = self.charging = ""
        self.stint_moves = set()
        self.temporary_forme = ""
        self.ability = self.first_ability
        if self.status == "tox":
            self.status_turns = 0

    @property
    def shape(self) -> str:
        """The forme that stands there, Transform and temporary changes counted."""
        return self.copied.shape if self.copied is not None else self.temporary_forme or self.forme

    def believe(self) -> Believed:
        """What is shown of it now."""
        return Believed(self.hp_shown, self.status, self.status_turns)

    def current_types(self, dex: Dex) -> tuple[str, str]:
        """Both types ("none" where there is one), terastallization and type changes counted."""
        if self.terastallized:
            return (self.tera, NONE)
        if self.types is not None:
            return (self.types[0] if self.types else UNKNOWN, self.types[1] if len(self.types) > 1 else NONE)
        if self.copied is not None:
            return self.copied.current_types(dex)
        return (dex.both_types(self.temporary_forme or self.forme) or dex.both_types(self.forme)
                or dex.both_types(self.base) or (UNKNOWN, NONE))

    def sure_ability(self, dex: Dex) -> str:
        """As shown, or the only one that its species can have."""
        if self.ability != UNKNOWN:
            return self.ability
        species = dex.species(self.shape)
        return species.abilities[0] if species is not None and len(species.abilities) == 1 else UNKNOWN

    def rampages(self, turn: int) -> bool:
        """Whether Outrage (two turns at least) or Rollout (five) holds it for sure."""
        longest = 4 if self.last_move in ("rollout", "iceball") else 1
        return "locked" in self.volatiles and 1 <= turn - self.volatiles["locked"] <= longest

    def use(self, move: str, pp: int = 1) -> None:
        """Note a move of its own as shown."""
        known = self.moves
        if self.copied is not None:
            known = self.copied_moves
            self.copied.told.add(move)
        if self.disguise is None:
            self.hidden.discard(move)
        elif move not in known:
            self.hidden.add(move)
        known[move] = known.get(move, 0) + pp


@dataclass(slots=True)
class Doing:
    """What a side did in one turn."""

    move: str = NONE
    moved_first: bool = False
    switched: bool = False
    crit: bool = False
    missed: bool = False
    failed: bool = False


@dataclass(slots=True)
class Side:
    """One player's half of the field."""

    player: str
    mons: list[Mon] = field(default_factory=list)
    shown: list[Mon] = field(default_factory=list)
    """In order of team preview or of appearance: what the opponent knows of."""
    active: Mon | None = None
    size: int = TEAM
    previewed: bool = False
    conditions: dict[str, int] = field(default_factory=dict)
    """Screens and the like -> turn in which they began; hazards -> layers."""
    gimmick_used: list[bool] = field(default_factory=lambda: [False] * 4)
    dynamaxed: int = 0
    """Turn in which the active one dynamaxed; 0: it is not."""
    wish: int = 0
    """Turn in which Wish was used; 0: none."""
    future: int = 0
    """Turn in which Future Sight or Doom Desire was aimed at this side; 0: none."""
    passing: str = ""
    """`batonpass` or `shedtail`, between the move and the switch."""
    now: Doing = field(default_factory=Doing)
    before: Doing = field(default_factory=Doing)
    rating: int | None = None
    name: str = ""

    @property
    def alive(self) -> int:
        """Pokémon not fainted, those never shown counted."""
        return max(self.size - sum(mon.fainted for mon in self.mons), 0)
