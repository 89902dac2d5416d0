"""What a species, a move and an item are. Names everywhere are Showdown ids ("greattusk")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Species:
    """One forme of one species in one generation."""

    name: str
    base_species: str
    """Itself, but for formes: `landorus` of `landorustherian`."""
    types: tuple[str, ...]
    """One or two."""
    base_stats: tuple[int, int, int, int, int, int]
    """HP, attack, defence, special attack, special defence, speed. Generation 1: Special stands in both."""
    weight: float
    """Kilograms; 0 where the generation does not know it."""
    abilities: tuple[str, ...]
    """Empty before generation 3."""
    prevo: str
    """What it evolves from, or ""."""
    evolves: bool
    """Whether it can still evolve in this generation (Eviolite)."""
    gender: str
    """"M", "F", "N" (none), or "" where it varies."""
    changes_from: str
    """The forme that changes into this one outside of battle, or ""."""
    battle_only: str
    """The forme that becomes this one in battle (megas, Zen Mode), or ""."""
    formes: tuple[str, ...]
    """Other formes of a base species; cosmetic ones left out."""
    required_items: tuple[str, ...]
    """One of them must be held (mega stones, plates)."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move in one generation."""

    name: str
    type: str
    category: str
    """physical, special or status; by type before generation 4."""
    power: int
    """0 for status moves and where a rule decides it."""
    accuracy: float
    """1.0 also where it cannot miss."""
    priority: int
    pp: int
    """The most it can have: 8/5 of its base."""
    target: str
    """As in Showdown: normal, self, foeSide, allAdjacent ..."""
    flags: frozenset[str]
    """As in Showdown: contact, sound, punch, protect, charge, recharge, heal ..."""
    hits: tuple[int, int]
    """Least and most hits; (1, 1) for nearly all."""
    fixed_damage: int
    """HP taken whatever the stats (Dragon Rage); 0: not such a move."""
    level_damage: bool
    """Takes the user's level (Seismic Toss)."""
    ohko: bool
    drain: float
    """Part of the damage that heals the user."""
    recoil: float
    """Part of the damage that the user takes."""
    heal: float
    """Part of its maximum HP that the user heals."""
    self_destruct: bool
    self_switch: bool
    """The user leaves (U-turn, Baton Pass, Teleport)."""
    breaks_protect: bool
    locks: bool
    """Goes on for turns (Outrage, Uproar)."""
    always_crits: bool
    status: str
    """What it inflicts as its main effect: brn, par, psn, tox, slp, frz or ""."""
    has_secondary: bool
    attack_stat: str
    """The attacking stat where not the category's: "def" of Body Press, else ""."""
    attack_of_target: bool
    """Reads the target's attacking stat (Foul Play)."""
    defence_stat: str
    """The defending stat where not the category's: "def" of Psyshock, else ""."""
    ignores_boosts: bool
    """Ignores the target's defensive boosts (Sacred Sword)."""
    ignores_immunity: bool
    """Hits types that are immune; so do all status moves but Thunder Wave."""
    ignores_ability: bool
    z_power: int
    """Power of the Z-move made from it, 0: none."""
    max_power: int
    """Power of the Max move made from it, 0: none."""
    kind: str
    """"z" and "max" for Z-moves and Max moves, else ""."""


@dataclass(frozen=True, slots=True)
class Item:
    """One held item."""

    name: str
    gen: int
    """Where it first appeared."""
    is_choice: bool
    is_berry: bool
    is_gem: bool
    plate: str
    """Type of a plate, or ""; likewise `memory` and `drive`."""
    memory: str
    drive: str
    mega: Mapping[str, str]
    """Mega stones: species -> what it becomes."""
    z_type: str
    """Z-crystals of a type, or ""."""
    z_move: str
    """Z-crystals of a species: the Z-move, or ""; made from `z_from` by one of `z_users`."""
    z_from: str
    z_users: tuple[str, ...]
