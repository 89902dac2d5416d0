"""Effects of moves and abilities other than factors: `prepare` sets power, type and category, `sharpen` changes type
effectiveness, `fix` overrides the damage of moves that do not follow the formula.

Source: Pokémon Showdown, data/moves.ts (damageCallback, onEffectiveness) and data/abilities.ts.
"""

from __future__ import annotations

import numpy as np

from poke_bc.showdown.damage.effects import ATE
from poke_bc.showdown.damage.fields import Bools
from poke_bc.showdown.damage.moves import RULES, TERRAIN_TYPE
from poke_bc.showdown.damage.pairs import Pairs
from poke_bc.showdown.damage.pokemon import CHARGE
from poke_bc.showdown.damage.tables import Floats


def prepare(pairs: Pairs) -> None:
    """Apply the rules of moves and abilities that come before type effectiveness."""
    for name in sorted(pairs.moves & RULES.keys()):
        if (at := pairs.of(name)) is not None and len(at):
            RULES[name](pairs, at)
    pokemon, types = pairs.pokemon, pairs.pokemon.tables.types
    if (has := pokemon.has("technician")) is not None:
        pairs.power[has[pairs.attacker] & (pairs.power <= 60)] *= 1.5
    for ability, type_ in ATE.items():
        if (has := pokemon.has(ability)) is not None:
            turned = has[pairs.attacker] & ((pairs.type == types["normal"]) | (ability == "normalize"))
            pairs.type[turned] = types[type_]
    if (has := pokemon.has("liquidvoice")) is not None:
        pairs.type[has[pairs.attacker] & pokemon.tables.flags["sound"][pairs.move]] = types["water"]
    if (has := pokemon.has("skilllink")) is not None:
        pairs.hits[has[pairs.attacker] & (np.abs(pairs.hits - 3.05) < 0.1)] = 5
    if (turns := pokemon.fields.per_side["dynamax_turns"]).any():
        dynamaxed = np.zeros(2 * pokemon.count, bool)
        dynamaxed[pokemon.active[(turns > 0) & pokemon.has_active]] = True
        at = np.flatnonzero(dynamaxed[pairs.attacker] & (pairs.power > 0))
        pairs.power[at] = pokemon.tables.max_power[pairs.move[at]]
        pairs.hits[at] = 1
    if any("terrain" in each.terrain for each in pokemon.observations):
        _terrain(pairs)
    if pokemon.tables.gen >= 9 and pokemon.is_any_terastallized:
        weak = pokemon.terastallized[pairs.attacker] & (pairs.power > 0) & (pairs.power < 60) & (pairs.hits == 1)
        weak &= (pairs.type == pokemon.types[0][pairs.attacker]) & (pokemon.tables.priority[pairs.move] <= 0)
        weak &= (pokemon.tables.power[pairs.move] > 0) & (pokemon.tables.power[pairs.move] < 150)
        pairs.power[weak] = 60


def _terrain(pairs: Pairs) -> None:
    pokemon, types = pairs.pokemon, pairs.pokemon.tables.types
    strong = 1.5 if pokemon.tables.gen <= 7 else 1.3
    here = {name: pokemon.terrain_is(name)[pairs.attacker] for name in TERRAIN_TYPE}
    from_ground, on_ground = pokemon.grounded[pairs.attacker], pokemon.grounded[pairs.defender]
    for name in ("electricterrain", "grassyterrain", "psychicterrain"):
        pairs.power[here[name] & from_ground & (pairs.type == types[TERRAIN_TYPE[name]])] *= strong
    pairs.power[here["mistyterrain"] & on_ground & (pairs.type == types["dragon"])] *= 0.5
    pairs.power[here["psychicterrain"] & on_ground & (pokemon.tables.priority[pairs.move] > 0)] = 0
    if (at := pairs.of("earthquake", "bulldoze", "magnitude")) is not None:
        pairs.power[at[(here["grassyterrain"] & on_ground)[at]]] *= 0.5


def sharpen(pairs: Pairs, effect: Floats) -> None:
    """Change the type effectiveness [N] for moves and abilities with rules of their own."""
    pokemon, types, chart = pairs.pokemon, pairs.pokemon.tables.types, pairs.pokemon.tables.chart
    defending = pairs.defending
    if (at := pairs.of("freezedry")) is not None:
        effect[at] *= np.where((defending[:, at] == types["water"]).any(axis=0), 4, 1)
    if (at := pairs.of("flyingpress")) is not None:
        effect[at] *= chart[types["flying"], defending[:, at]].prod(axis=0)
    arrows = pairs.of("thousandarrows")
    if arrows is not None or pokemon.some_fall:
        falls = pokemon.grounded[pairs.defender]
        if arrows is not None:
            falls[arrows] = True
        effect[falls & (effect == 0) & (pairs.type == types["ground"])] = 1
    if (scrappy := pokemon.has("scrappy", "mindseye")) is not None:
        other = np.where(defending == types["ghost"], 0, defending)
        hits = scrappy[pairs.attacker] & ((pairs.type == types["normal"]) | (pairs.type == types["fighting"]))
        effect[hits] = chart[pairs.type, other].prod(axis=0)[hits]


def fix(pairs: Pairs, effect: Floats, damage: Floats) -> None:
    """Override the damage [N] of moves that do not follow the formula: a fraction of the maximum HP."""
    pokemon, tables = pairs.pokemon, pairs.pokemon.tables
    hits = (effect > 0) | ((tables.gen == 1) & (tables.ohko[pairs.move] == 0))  # there they ignore types
    attacker, defender, move = pairs.attacker, pairs.defender, pairs.move
    at = np.flatnonzero((tables.fixed[move] > 0) | tables.level_damage[move] | (tables.ohko[move] > 0))
    if len(at):
        taken = tables.fixed[move[at]] + tables.level_damage[move[at]] * pokemon.level[attacker[at]]
        fair = pokemon.level[attacker[at]] >= pokemon.level[defender[at]]
        damage[at] = (taken / pokemon.max_hp[defender[at]] + tables.ohko[move[at]] * fair) * hits[at]
    for names, fraction in ((("superfang", "naturesmadness", "ruination"), 0.5), (("guardianofalola",), 0.75)):
        if (halved := pairs.of(*names)) is not None:
            damage[halved] = pokemon.hp[defender[halved]] * fraction * hits[halved]
    if pairs.moves.isdisjoint(("endeavor", "finalgambit", "psywave")):
        return
    left = pokemon.hp * pokemon.max_hp
    for name, points in (
            ("endeavor", np.maximum(left[defender] - left[attacker], 0)), ("finalgambit", left[attacker]),
            ("psywave", pokemon.level[attacker])):
        if (at_name := pairs.of(name)) is not None:
            damage[at_name] = (points / pokemon.max_hp[defender] * hits)[at_name]


def charged(pairs: Pairs) -> Bools | None:
    """[N]: Electric moves after Charge; None if nobody charged."""
    loaded = pairs.pokemon.with_volatile(CHARGE)
    if loaded is None:
        return None
    found: Bools = loaded[pairs.attacker] & (pairs.type == pairs.pokemon.tables.types["electric"])
    return found
