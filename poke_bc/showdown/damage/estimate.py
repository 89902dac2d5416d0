"""Damage estimates: the last section of the singles schema, computed from the other fields and static tables.

Roughly what a damage calculator does: Pokémon Showdown's sim/battle-actions.ts (getDamage, modifyDamage), in its order
but with a single rounding, for the average roll (0.925 of the highest; 0.9255 in generations 1 and 2), without critical
hits and accuracy, with the expected number of hits. Items and abilities count where the observation shows them. Unknown
stats are replaced by typical ones (pokemon.py). One-hit KO moves do their accuracy.

Letters: R observations, N pairs of attacker, move and defender (pairs.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.showdown.damage.effects import BREAKS_SCREENS, PINCH, WEATHER_TYPE
from poke_bc.showdown.damage.fields import Bools
from poke_bc.showdown.damage.pairs import OWN_PAIRS, Pairs
from poke_bc.showdown.damage.pokemon import FLASH_FIRE, OwnStats, Pokemon
from poke_bc.showdown.damage.rules import charged, fix, prepare, sharpen
from poke_bc.showdown.damage.tables import SPECIAL, Floats, tables
from poke_bc.showdown.observation import ESTIMATES

ROLL = 0.925
LOST = 0.47
"""HP lost on average by rounding down after the roll; it matters at level 5."""
MOST = 4.0
"""Upper limit, as a multiple of the maximum HP; `high` of the schema."""


def add_damage(observations: Sequence[Any], gen: int, own_stats: OwnStats | None = None) -> None:
    """Set the estimates of Observations in place: about 1 ms for the 50 rows of a battle.

    Args:
        observations: of one generation.
        gen: 1 to 9.
        own_stats: per row, and per own slot, hp, atk, def, spa, spd, spe in points without boosts and Dynamax; None
            where unknown.
    """
    if not observations:
        return
    pokemon = Pokemon(observations, tables(gen), own_stats)
    pairs = Pairs(pokemon)
    effect, damage = _estimate(pairs)
    _write(pairs, effect, damage)


def _estimate(pairs: Pairs) -> tuple[Floats, Floats]:
    """Type effectiveness, and damage as a fraction of the defender's maximum HP; both [N]."""
    pokemon, table = pairs.pokemon, pairs.pokemon.tables
    prepare(pairs)
    attacker, defender, move, type_ = pairs.attacker, pairs.defender, pairs.move, pairs.type
    effect: Floats = table.chart.take(type_ * table.types.size + pairs.defending[0])
    effect *= table.chart.take(type_ * table.types.size + pairs.defending[1])
    if pokemon.some_added:
        effect *= table.chart.take(type_ * table.types.size + pokemon.added[defender])
    sharpen(pairs, effect)
    attack = pokemon.stats.take(attacker * 6 + pairs.attack_slot)
    defence = pokemon.guarding.take(defender * 6 + pairs.defence_slot)
    attack, defence = _look_elsewhere(pairs, attack, defence)
    typed = 2 * type_ + (pairs.category == SPECIAL)
    inner = pairs.power * attack / defence
    outer = effect * pairs.hits
    if table.gen >= 2:
        inner *= table.item_attack.take(pokemon.item[attacker] * table.width + typed)
        outer *= _weather(pairs)
    if table.gen >= 3:
        ability = pokemon.ability[attacker]
        inner *= table.ability_attack.take(ability * table.width + typed)
        inner *= table.ability_move.take(ability * table.power.size + move)
        outer *= _guard(pairs, typed, effect)
    _moments(pairs, effect, inner, outer)
    outer *= _stab(pairs)
    outer *= _screens(pairs)
    outer *= pokemon.might.take(attacker * 2 + (pairs.category == SPECIAL))
    strength = np.floor(0.4 * pokemon.level + 2) / 50
    damage = ((np.floor(strength[attacker] * inner) + 2) * ROLL - LOST) * outer / pokemon.max_hp[defender]
    damage *= pairs.power > 0
    fix(pairs, effect, damage)
    effect[table.ignores_type[move]] = 1
    return effect, np.minimum(damage, MOST)


def _look_elsewhere(pairs: Pairs, attack: Floats, defence: Floats) -> tuple[Floats, Floats]:
    """Foul Play uses the target's attack; Unaware, Sacred Sword and the like ignore boosts."""
    pokemon, table = pairs.pokemon, pairs.pokemon.tables
    if (at := pairs.of(*table.of_target)) is not None:
        attack[at] = pokemon.stats[pairs.defender[at], pairs.attack_slot[at]]
    unaware = pokemon.has("unaware")
    if unaware is not None:
        blind = np.flatnonzero(unaware[pairs.defender])
        attack[blind] = pokemon.unboosted[pairs.attacker[blind], pairs.attack_slot[blind]]
    at = pairs.of(*table.ignoring_boosts)
    if at is not None or unaware is not None:
        unseen = np.zeros(len(attack), bool) if unaware is None else unaware[pairs.attacker]
        if at is not None:
            unseen[at] = True
        plain = pokemon.defending(pokemon.unboosted)
        defence[unseen] = plain[pairs.defender[unseen], pairs.defence_slot[unseen]]
    return attack, defence


def _weather(pairs: Pairs) -> Floats | float:
    pokemon, table = pairs.pokemon, pairs.pokemon.tables
    if pokemon.weathers.isdisjoint(WEATHER_TYPE):
        return 1.0
    weathers = np.array([table.weathers[name] for name in pokemon.weather])
    factors: Floats = table.weather_type[weathers[pairs.row], pairs.type]
    return factors


def _guard(pairs: Pairs, typed: Any, effect: Floats) -> Floats:
    """[N]: factor of the defender's ability and berry."""
    pokemon, table = pairs.pokemon, pairs.pokemon.tables
    ability = pokemon.ability[pairs.defender]
    guard: Floats = table.guard.take(ability * table.width + typed)
    guard *= table.guard_move.take(ability * table.power.size + pairs.move)
    if "levitate" in pokemon.abilities:  # Gravity, Iron Ball, Smack Down
        grounded = pokemon.grounded[pairs.defender] & (ability == table.abilities["levitate"])
        guard[grounded & (pairs.type == table.types["ground"])] = 1
    if (has := pokemon.has("filter", "solidrock", "prismarmor")) is not None:
        guard[has[pairs.defender] & (effect > 1)] *= 0.75
    if (has := pokemon.has("multiscale", "shadowshield")) is not None:
        guard[(has & (pokemon.hp >= 1))[pairs.defender]] *= 0.5
    if (has := pokemon.has("wonderguard")) is not None:
        guard[has[pairs.defender] & (effect <= 1) & (pairs.type != table.types["typeless"])] = 0
    breaks = pokemon.has("moldbreaker", "teravolt", "turboblaze")
    if breaks is not None:
        guard[breaks[pairs.attacker]] = 1
    if (at := pairs.of(*table.ignoring_ability)) is not None:
        guard[at] = 1
    if "airballoon" in pokemon.items:
        floats = pokemon.item == table.items["airballoon"]
        guard[floats[pairs.defender] & (pairs.type == table.types["ground"])] = 0
    if not pokemon.items.isdisjoint(table.berries):
        berry = table.berry[pokemon.item[pairs.defender]]
        guard[(berry == pairs.type) & (berry > 0) & (effect > 1)] *= 0.5
    return guard


def _moments(pairs: Pairs, effect: Floats, inner: Floats, outer: Floats) -> None:
    """Factors of the attacker that depend on effectiveness, HP or earlier turns."""
    pokemon, table = pairs.pokemon, pairs.pokemon.tables
    if not pokemon.abilities.isdisjoint(PINCH):
        weak = (pokemon.hp <= 1 / 3)[pairs.attacker]
        inner[weak & (table.pinch[pokemon.ability[pairs.attacker]] == pairs.type) & (pairs.type > 0)] *= 1.5
    if (has := pokemon.has("flashfire")) is not None and (lit := pokemon.with_volatile(FLASH_FIRE)) is not None:
        inner[(has & lit)[pairs.attacker] & (pairs.type == table.types["fire"])] *= 1.5
    if (has := pokemon.has("tintedlens")) is not None:
        outer[has[pairs.attacker] & (effect < 1)] *= 2
    if (has := pokemon.has("neuroforce")) is not None:
        outer[has[pairs.attacker] & (effect > 1)] *= 1.25
    if (has := pokemon.has("sandforce")) is not None:
        storm = (has & pokemon.weather_is("sandstorm"))[pairs.attacker]
        inner[storm & np.isin(pairs.type, [table.types[name] for name in ("rock", "ground", "steel")])] *= 1.3
    if "lifeorb" in pokemon.items:
        outer[(pokemon.item == table.items["lifeorb"])[pairs.attacker]] *= 1.3
    if "expertbelt" in pokemon.items:
        outer[(pokemon.item == table.items["expertbelt"])[pairs.attacker] & (effect > 1)] *= 1.2
    if (at := pairs.of("collisioncourse", "electrodrift")) is not None:
        inner[at[effect[at] > 1]] *= 4 / 3
    if (loaded := charged(pairs)) is not None:
        inner[loaded] *= 2


def _stab(pairs: Pairs) -> Floats:
    """[N]: 1.5 for a move of the user's type; 2 with Adaptability, or if its tera type is one of its own types."""
    pokemon = pairs.pokemon
    attacker, type_ = pairs.attacker, pairs.type
    shared: Bools = (type_ == pokemon.types[0].take(attacker)) | (type_ == pokemon.types[1].take(attacker))
    if pokemon.some_added:
        shared |= (type_ == pokemon.added[attacker]) & (type_ > 0)
    factor = np.where(shared, 1.5, 1.0)
    if pokemon.is_any_terastallized:
        tera = pokemon.terastallized[attacker]
        born = (type_ == pokemon.born[0].take(attacker)) | (type_ == pokemon.born[1].take(attacker))
        factor[tera & born] = np.where(shared[tera & born], 2.0, 1.5)
        stellar = tera & pokemon.is_stellar[attacker]
        factor[stellar] = np.where(born[stellar], 2.0, 1.2)
    if (adapted := pokemon.has("adaptability")) is not None:
        at = adapted[attacker] & shared
        factor[at] = np.where(factor[at] == 2, 2.25, 2)
    return factor


def _screens(pairs: Pairs) -> Floats | float:
    pokemon = pairs.pokemon
    reflect, light_screen, veil = (pokemon.fields.per_side[name] for name in ("reflect", "light_screen", "aurora_veil"))
    screens = np.stack([reflect + veil, light_screen + veil], axis=2) > 0
    if not screens.any():
        return 1.0
    kept = np.where(screens, 0.5, 1.0).reshape(-1, 2)  # [2 * R, category]
    factor: Floats = kept[pairs.defender // 6, (pairs.category == SPECIAL).astype(np.intp)]
    if (through := pokemon.has("infiltrator")) is not None:
        factor[through[pairs.attacker]] = 1
    if (at := pairs.of(*BREAKS_SCREENS)) is not None:
        factor[at] = 1
    return factor


def _write(pairs: Pairs, effect: Floats, damage: Floats) -> None:
    pokemon = pairs.pokemon
    count = pairs.rows
    row = np.arange(count)
    damage, effect = pairs.spread(damage), pairs.spread(effect)
    both = pokemon.has_active.all(axis=0)[:, None]
    own_slot = pokemon.active_slot[0]
    dealt, taken = damage[:, :OWN_PAIRS].reshape(count, 6, 4), damage[:, OWN_PAIRS:].reshape(count, 6, 6)
    own = dealt[row, own_slot] * both
    opp = taken[row, own_slot] * both
    known = (pairs.own_active_moves > 0) & both
    left = pokemon.hp[pokemon.active]
    speed = pokemon.speed[pokemon.active]
    values: list[NDArray[Any]] = [  # in the order of ESTIMATES
        own, (own >= left[1][:, None]) & (own > 0), effect[:, :OWN_PAIRS].reshape(count, 6, 4)[row, own_slot] * known,
        opp[:, :4], (opp[:, :4] >= left[0][:, None]) & (opp[:, :4] > 0), np.maximum(opp[:, 4], opp[:, 5]),
        _largest(taken), _largest(dealt),
        (speed[0] - speed[1]) / np.maximum(speed[0] + speed[1], 1) * both[:, 0],
    ]
    columns = [(each.round(4) if each.dtype == np.float64 else each).tolist() for each in values]
    columns += [_shared(pokemon.own_stats), _shared(pokemon.is_filled)]
    for observation, *found in zip(pokemon.observations, *columns, strict=True):
        for name, value in zip(ESTIMATES, found, strict=True):
            setattr(observation, name, value)


def _shared(rows: NDArray[Any]) -> list[list[Any]]:
    """A list for each row; neighbours that are equal are one list."""
    is_new = np.ones(len(rows), bool)
    np.any(rows[1:] != rows[:-1], axis=1, out=is_new[1:])
    distinct = rows[is_new].tolist()
    return [distinct[place] for place in (is_new.cumsum() - 1).tolist()]


def _largest(values: Floats) -> Floats:
    """Maximum along the last axis, which is too short for numpy's own."""
    found: Floats = values[..., 0]
    for column in range(1, values.shape[-1]):
        found = np.maximum(found, values[..., column])
    return found
