"""What a species, a move and an item are. Names everywhere are Showdown ids ("greattusk").

The tables hold each record as a list of its values in this order, without the name (data/dex/dump_dex.js).
"""

from __future__ import annotations

from msgspec import Struct


class Species(Struct, frozen=True, array_like=True):
    """One forme of one species in one generation."""

    name: str
    base_species: str
    """The species itself, except for formes: `landorus` for `landorustherian`."""
    types: tuple[str, ...]
    """One or two."""
    base_stats: tuple[int, int, int, int, int, int]
    """HP, attack, defence, special attack, special defence, speed. Generation 1 has Special in both special slots."""
    weight: float
    """Kilograms; 0 where the generation does not define it."""
    abilities: tuple[str, ...]
    """Empty before generation 3."""
    evolves: bool
    """Whether it can still evolve in this generation (for Eviolite)."""


class Move(Struct, frozen=True, array_like=True):
    """One move in one generation."""

    name: str
    type: str
    category: str
    """physical, special or status; decided by the type before generation 4."""
    power: int
    """0 for status moves and for moves whose power follows a rule."""
    accuracy: float
    """Probability; also 1.0 for moves that cannot miss."""
    priority: int
    pp: int
    """Maximum, with all PP Ups: usually 8/5 of the base."""
    flags: frozenset[str]
    """Showdown's flags: contact, sound, punch, heal, gravity ..."""
    hits: tuple[int, int]
    """Minimum and maximum number of hits; (1, 1) for nearly all moves."""
    fixed_damage: int
    """HP removed regardless of stats (Dragon Rage); 0 for all other moves."""
    level_damage: bool
    """Removes as many HP as the user's level (Seismic Toss)."""
    ohko: bool
    recoil: float
    """Fraction of the damage dealt that the user takes."""
    has_secondary: bool
    """Whether it has a secondary effect (for Sheer Force)."""
    attack_stat: str
    """Attacking stat where it is not the category's: "def" for Body Press, otherwise ""."""
    attack_of_target: bool
    """Uses the target's attacking stat (Foul Play)."""
    defence_stat: str
    """Defending stat where it is not the category's: "def" for Psyshock, otherwise ""."""
    ignores_boosts: bool
    """Ignores the target's defensive boosts (Sacred Sword)."""
    ignores_immunity: bool
    """Hits immune types, as all status moves but Thunder Wave do."""
    ignores_ability: bool
    max_power: int
    """Power of the Max Move based on it; 0 if there is none."""


class Item(Struct, frozen=True, array_like=True):
    """One held item."""

    name: str
    gen: int
    """Generation that introduced it."""
    is_choice: bool
    is_gem: bool
    plate: str
    """Type that this plate gives Judgment, or ""; `memory` does so for Multi-Attack, `drive` for Techno Blast."""
    memory: str
    drive: str
    mega: frozenset[str]
    """The species that mega-evolve with this stone."""
    z_type: str
    """Type of a type's Z-crystal, or ""."""
    z_move: str
    """Z-move of a species' Z-crystal, made from the move `z_from`, or ""."""
    z_from: str
