"""Parsing the fields of one line of Showdown's battle protocol: identifiers, details, conditions and tags.

Source: the protocol description of the simulator (smogon/pokemon-showdown, sim/SIM-PROTOCOL.md).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import msgspec

from poke_bc.dex import RENAMED, to_id
from poke_bc.showdown.record import SkippedBattle

UNKNOWN, NONE = "unknown", "none"
"""JSON values for something not shown yet, and for nothing."""
BOOSTS = ("atk", "def", "spa", "spd", "spe", "accuracy", "evasion")
"""Order of the seven boosts."""
PREFIXES = ("move: ", "ability: ", "item: ", "condition: ")


class Details(msgspec.Struct, frozen=True, gc=False):
    """The parts of `Sableye-Mega, L77, M, shiny, tera:Fire`."""

    species: str
    level: int = 100
    gender: str = ""
    tera: str = NONE


class Condition(NamedTuple):
    """The parts of `372/386 par`."""

    hp: float
    """Fraction of the maximum."""
    percent: float
    pixels: float
    """What the opponent sees, in percent or in 48ths: `hp` itself unless that is in hit points."""
    scale: int
    """Maximum HP; 0 if the text has none."""
    status: str
    fainted: bool


def current_id(name: str) -> str:
    """Id of a species or move, with names of old logs replaced by current ones.

    >>> current_id("Hi Jump Kick")
    'highjumpkick'
    """
    id_ = to_id(name)
    return RENAMED.get(id_, id_)


def tier_of(format_: str) -> str:
    """A format without its generation: what is played, whenever.

    >>> tier_of("gen9ou"), tier_of("pokebankoususpecttest"), tier_of("gen8randombattle")
    ('ou', 'ou', 'randombattle')
    """
    name = re.sub("^(gen[1-9]|pokebank|xy|oras)", "", format_)
    return re.sub("(suspecttest|current|beta)$", "", name) or UNKNOWN


@lru_cache(maxsize=65536)
def read_details(text: str) -> Details:
    """Species, level, gender and tera type; the last three in any order.

    >>> read_details("Sableye-Mega, L77, M")
    Details(species='sableyemega', level=77, gender='M', tera='none')
    """
    species, *rest = text.split(", ")
    level, gender, tera = 100, "", NONE
    for word in rest:
        if word in ("M", "F"):
            gender = word
        elif word[:1] == "L" and word[1:].isdigit():
            level = int(word[1:])
        elif word.startswith("tera:"):
            tera = to_id(word[5:])
    plain = unicodedata.normalize("NFKD", species)  # Flabébé is `flabebe`
    return Details(current_id(plain.removesuffix("-*")), level, gender, tera)


def written(details: Details) -> str:
    """The text that `read_details` reads.

    >>> written(read_details("Sableye-Mega, L77, M"))
    'sableyemega, L77, M'
    """
    return ", ".join(filter(None, (details.species, f"L{details.level}", details.gender)))


@lru_cache(maxsize=65536)
def read_condition(text: str) -> Condition | None:
    """HP and status; None if the text is not a condition. Logs of 2012 write `64 (17/48)`: damage, then what is left.

    >>> read_condition("45/100 par")
    Condition(hp=0.45, percent=0.45, pixels=0.45, scale=100, status='par', fainted=False)
    """
    words = text.rpartition("(")[2].strip(") ").split(" ")
    fraction = words[0].split("/")
    status = words[1] if len(words) > 1 else NONE
    try:
        left = float(fraction[0])
        most = float(fraction[1].rstrip("ygr")) if len(fraction) > 1 else 100.0
    except ValueError:
        return None
    if not 0 <= left <= most or most <= 0:
        return None
    fainted = status == "fnt" or left == 0
    scale = round(most) if len(fraction) > 1 or not fainted else 0  # `0 fnt` does not show the scale
    hp = left / most
    percent, pixels = (hp, hp) if scale in (48, 100) else (as_shown(hp, 100), as_shown(hp, 48))
    return Condition(hp, percent, pixels, scale, NONE if fainted else status, fainted)


def as_shown(hp: float, scale: int) -> float:
    """An exact fraction as the opponent sees it on a bar of `scale` (100 or 48) parts.

    Source: sim/pokemon.ts, getHealth: percent is rounded up, and 99 unless full; pixels are rounded down, at least 1.
    """
    if hp <= 0:
        return 0.0
    if scale == 100:
        return (99 if hp < 1 and hp > 0.99 else -int(-hp * 100 // 1)) / 100
    return max(int(48 * hp + 1e-9), 1) / 48


@lru_cache(maxsize=16384)
def effect_id(text: str) -> str:
    """Id of an effect without its kind.

    >>> effect_id("move: Stealth Rock")
    'stealthrock'
    """
    for prefix in PREFIXES:
        if text.startswith(prefix):
            return to_id(text[len(prefix):])
    return to_id(text)


def cause_of(parts: list[str]) -> str | None:
    """The text of a line's `[from]` tag, or None.

    >>> cause_of(["", "-heal", "p1a: A", "50/100", "[from] item: Leftovers"])
    'item: Leftovers'
    """
    for part in parts[3:]:
        if part[:6] == "[from]":
            return part[6:].strip()
    return None


def source_of(parts: list[str]) -> str:
    """The Pokémon in a line's `[of]` tag, or ""."""
    for part in parts[3:]:
        if part[:4] == "[of]":
            return part[4:].strip()
    return ""


def other(player: str) -> str:
    """The opponent of p1 or p2."""
    return "p2" if player == "p1" else "p1"


@lru_cache(maxsize=16384)
def move_id(name: str) -> str:
    """Id of a move's displayed name; Z-powered status moves lose their mark, Hidden Power its type.

    >>> move_id("Z-Splash")
    'splash'
    """
    return bare_hidden_power(current_id(name[2:] if name.startswith("Z-") else name))


def bare_hidden_power(move: str) -> str:
    """`hiddenpowerfire70` -> `hiddenpower`; all other moves as they are."""
    return "hiddenpower" if move[:11] == "hiddenpower" else move


def caller(parts: list[str]) -> str:
    """What caused a `|move|` line: "" the player's choice, "locked", "sleeptalk", "ability" or "other"."""
    cause = cause_of(parts)
    if cause is None:
        return ""
    if cause.startswith("ability: ") or effect_id(cause) == "magicbounce":
        return "ability"
    effect = effect_id(cause)
    if effect == "lockedmove" or effect == to_id(parts[3]):
        return "locked" if effect != "pursuit" else ""
    return "sleeptalk" if effect == "sleeptalk" else "other"


def cannot_move(parts: list[str]) -> str:
    """The Pokémon that could not move in a `|cant|` line; where an ability prevents it, its holder is named first."""
    return (parts[3].startswith("ability: ") and source_of(parts)) or parts[2]


def read_number(text: str) -> int:
    """A whole number. Raises SkippedBattle."""
    try:
        return int(text)
    except ValueError:
        raise SkippedBattle("damaged line", f"{text!r:.20} is not a number") from None
