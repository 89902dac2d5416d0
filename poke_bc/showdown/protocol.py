"""Words of Showdown's battle protocol: identifiers, details, conditions and tags of one line.

Source: the protocol description of the simulator (smogon/pokemon-showdown, sim/SIM-PROTOCOL.md).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from poke_bc.dex import RENAMED, to_id
from poke_bc.showdown.record import SkippedBattle

UNKNOWN, NONE = "unknown", "none"
"""What JSON holds for something not yet shown, and for nothing."""

STATS = ("atk", "def", "spa", "spd", "spe", "accuracy", "evasion")
"""Order of the seven boosts."""

PREFIXES = ("move: ", "ability: ", "item: ", "condition: ")


@dataclass(frozen=True, slots=True)
class Details:
    """`Sableye-Mega, L77, M, shiny, tera:Fire` taken apart."""

    species: str
    level: int = 100
    gender: str = ""
    tera: str = NONE


@dataclass(frozen=True, slots=True)
class Condition:
    """`372/386 par` taken apart."""

    hp: float
    """Fraction of the maximum."""
    exact: bool
    """In hit points; otherwise as the opponent sees it (percent or 48ths)."""
    scale: int
    """Maximum; 0: not said."""
    status: str
    fainted: bool


def to_id_of_today(name: str) -> str:
    """Id of a species or move; what old logs call otherwise has its present name.

    >>> to_id_of_today("Hi Jump Kick")
    'highjumpkick'
    """
    id_ = to_id(name)
    return RENAMED.get(id_, id_)


@lru_cache(maxsize=65536)
def read_details(text: str) -> Details:
    """Species and what follows it, in any order.

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
    return Details(to_id_of_today(plain.removesuffix("-*")), level, gender, tera)


@lru_cache(maxsize=65536)
def read_condition(text: str) -> Condition | None:
    """HP and status; None for a text that is no condition. Logs of 2012 say `64 (17/48)`: damage, and what is left.

    >>> read_condition("45/100 par")
    Condition(hp=0.45, exact=False, scale=100, status='par', fainted=False)
    """
    words = text.rpartition("(")[2].strip(") ").split(" ")
    share = words[0].split("/")
    status = words[1] if len(words) > 1 else NONE
    try:
        left = float(share[0])
        most = float(share[1].rstrip("ygr")) if len(share) > 1 else 100.0
    except ValueError:
        return None
    if not 0 <= left <= most or most <= 0:
        return None
    fainted = status == "fnt" or left == 0
    scale = round(most) if len(share) > 1 or not fainted else 0  # `0 fnt` says nothing of the display
    return Condition(left / most, scale not in (48, 100), scale, NONE if fainted else status, fainted)


def as_shown(hp: float, scale: int) -> float:
    """What the opponent sees of an exact fraction, on a bar of `scale` (100 or 48) parts.

    Source: sim/pokemon.ts, getHealth: percent is rounded up, and 99 unless full; pixels are rounded down, at least 1.
    """
    if hp <= 0:
        return 0.0
    if scale == 100:
        return (99 if hp < 1 and hp > 0.99 else -int(-hp * 100 // 1)) / 100
    return max(int(48 * hp + 1e-9), 1) / 48


@lru_cache(maxsize=16384)
def effect_id(text: str) -> str:
    """`move: Stealth Rock`, `ability: Flash Fire` -> the id alone.

    >>> effect_id("move: Stealth Rock")
    'stealthrock'
    """
    for prefix in PREFIXES:
        if text.startswith(prefix):
            return to_id(text[len(prefix):])
    return to_id(text)


def tag(parts: list[str], name: str) -> str | None:
    """The text of a `[name] text` argument, or None.

    >>> tag(["", "-heal", "p1a: A", "50/100", "[from] item: Leftovers"], "from")
    'item: Leftovers'
    """
    mark = f"[{name}]"
    for part in parts[3:]:
        if part.startswith(mark):
            return part[len(mark):].strip()
    return None


def other(player: str) -> str:
    """The opponent of p1 or p2."""
    return "p2" if player == "p1" else "p1"


def move_id(name: str) -> str:
    """Id of a move's displayed name; Z-powered status moves lose their mark.

    >>> move_id("Z-Splash")
    'splash'
    """
    return to_id_of_today(name[2:] if name.startswith("Z-") else name)


def caller(parts: list[str]) -> str:
    """Why a `|move|` line stands there: "" chosen, "locked", "sleeptalk", "ability" or "other" (not chosen)."""
    cause = tag(parts, "from")
    if cause is None:
        return ""
    if cause.startswith("ability: ") or effect_id(cause) == "magicbounce":
        return "ability"
    effect = effect_id(cause)
    if effect == "lockedmove" or effect == to_id(parts[3]):
        return "locked" if effect != "pursuit" else ""
    return "sleeptalk" if effect == "sleeptalk" else "other"


def cannot_move(parts: list[str]) -> str:
    """Who could not move in a `|cant|` line: where an ability forbids it, its holder is named first."""
    if parts[3].startswith("ability: ") and (of := tag(parts, "of")) is not None:
        return of
    return parts[2]


def read_number(text: str) -> int:
    """A whole number. Raises SkippedBattle."""
    try:
        return int(text)
    except ValueError:
        raise SkippedBattle("damaged line", f"{text!r:.20} is no number") from None
