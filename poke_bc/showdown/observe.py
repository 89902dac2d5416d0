"""The observation of the singles schema: what one player knows at this moment. Both convert and live play call it.

Of the own side: everything that its player knows. Of the opponent: what was shown, as it was shown (HP in percent,
under Illusion the disguise). Field by field: poke_bc/contract/schemas/singles.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from poke_bc.contract.actions import TEAM_SLOTS
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.brought import NOBODY_LEFT, opponent_left_home, own_left_home
from poke_bc.showdown.decision import TURN
from poke_bc.showdown.legal import must_struggle, only_option
from poke_bc.showdown.lines.effects import BINDING_MOVES
from poke_bc.showdown.observation import NO_ESTIMATES, NO_STATS, Observation
from poke_bc.showdown.observed_teams import NO_OPP, NO_OWN, TeamColumns, update_opponent, update_own
from poke_bc.showdown.own_pokemon import item_of, moves_of
from poke_bc.showdown.protocol import NONE, UNKNOWN, other
from poke_bc.showdown.state import DYNAMAX, MEGA, TERA, Mon, Side, Z

AGE_MAX, TURN_MAX, COUNT_MAX, RATING_MAX, MOST_DAMAGE = 8, 1000, 15, 4000, 4.0
"""What ends by itself does so at an age of 8 at the latest: 8 is what has no end."""
VOLATILES = tuple("""
    substitute confusion leechseed taunt encore disable torment attract yawn curse nightmare partiallytrapped
    trapped ingrain aquaring magnetrise healblock throatchop focusenergy charge saltcure destinybond perishsong
    flashfire slowstart mustrecharge charging locked transform smackdown gastroacid
    """.split())
"""Order of `own_volatiles` and `opp_volatiles`."""
_INDEX = {name: index for index, name in enumerate(VOLATILES)} | {
    "perish": VOLATILES.index("perishsong"), "noretreat": VOLATILES.index("trapped")}
TIMED_EFFECTS = ("taunt", "encore", "disable", "partiallytrapped")
"""Order of `own_effect_turns` and `opp_effect_turns`."""
TIMED = frozenset(TIMED_EFFECTS)
ROOMS = ("trickroom", "magicroom", "wonderroom", "gravity")
SCREENS = ("reflect", "lightscreen", "auroraveil", "tailwind", "safeguard", "mist")
NO_ROOMS, NO_SCREENS = (0,) * len(ROOMS), (0,) * len(SCREENS)
NO_ORDER = [0] * TEAM_SLOTS
NO_TURNS, NO_MOVES = [0] * len(TIMED_EFFECTS), [NONE, NONE]
NO_HIDDEN_POWERS = [NONE] * TEAM_SLOTS
NO_BOOSTS, NO_VOLATILES = [0] * 7, [False] * len(VOLATILES)


class View:
    """What is kept of one player's observations for the next."""

    def __init__(self) -> None:
        self.own = TeamColumns(NO_OWN)
        self.opp = TeamColumns(NO_OPP)


class Shown(NamedTuple):
    """Values of one side that are the same for both players, at one moment."""

    at: tuple[int, str]
    """Lines read, and phase."""
    side: tuple[Any, ...]
    active: tuple[Any, ...]
    turn: tuple[Any, ...]
    stint: tuple[Any, ...]


def observe(battle: Battle, player: str, phase: str, *, locked: str = "",
            can_gimmick: Sequence[bool] | None = None) -> Any:
    """What `player` ("p1" or "p2") knows now.

    Args:
        battle: followed up to the moment of the decision; the player's own team has its sets (`Mon.own_set`).
        phase: "preview", "turn", "forced_faint", "forced_pivot" or "revival".
        locked: the only move that was open, if the request said so.
        can_gimmick: which of mega, Z, dynamax, tera the request offered; None: as far as the log shows.

    Returns:
        An Observation without the estimates of damage, which add_damage adds to many at once. Lists that did not change
        since the player's previous observation are the same objects: never modify one.
    """
    view: View | None = battle.views.get(player)
    if view is None:
        view = battle.views[player] = View()
    own, opp = battle.sides[player], battle.sides[other(player)]
    if not locked and phase == TURN and own.active is not None:
        locked = only_option(battle, own.active)
    update_own(view.own, battle, own)
    update_opponent(view.opp, battle, opp)
    own_values = _shown_values(battle, own, phase, again=can_gimmick is not None)
    opp_values = _shown_values(battle, opp, phase)
    return Observation(
        min(battle.turn, TURN_MAX), phase,
        list(can_gimmick) if can_gimmick is not None else possible_gimmicks(battle, own, phase, locked),
        battle.weather, _age(battle, battle.weather_since) if battle.weather != NONE else 0,
        battle.terrain, _age(battle, battle.terrain_since) if battle.terrain != NONE else 0,
        *_ages(battle, battle.rooms, ROOMS) if battle.rooms else NO_ROOMS,
        *own_values.side, *opp_values.side,
        *view.own.columns, *view.opp.columns,
        *(_bound(own_values.active, locked) if _binds(battle, locked) else own_values.active), *opp_values.active,
        *own_values.turn, *opp_values.turn,
        *NO_ESTIMATES,
        battle.gen, battle.tier, min(own.rating or 0, RATING_MAX), min(opp.rating or 0, RATING_MAX),
        *_who_is_faster(battle, own, opp), *own_values.stint, *opp_values.stint,
        *NO_STATS,
        own_left_home(own) if battle.started and own.listed > own.size else NOBODY_LEFT,
        opponent_left_home(opp) if battle.started and opp.listed > opp.size else NOBODY_LEFT,
        _hidden_powers(own) if 2 <= battle.gen <= 7 else NO_HIDDEN_POWERS)


def _hidden_powers(own: Side) -> list[str]:
    """The type of each own Pokémon's Hidden Power."""
    found = NO_HIDDEN_POWERS
    for mon in own.mons:
        known = mon.requested or mon.own_set
        if mon.slot >= 0 and known is not None and known.hidden_power != NONE:
            found = found.copy() if found is NO_HIDDEN_POWERS else found
            found[mon.slot] = known.hidden_power
    return found


def _age(battle: Battle, since: int) -> int:
    return min(battle.age(since), AGE_MAX)


def _ages(battle: Battle, began: Mapping[str, int], effects: tuple[str, ...]) -> list[int]:
    """Age of each effect, 0 for those that are not there."""
    return [_age(battle, began[effect]) if effect in began else 0 for effect in effects]


def _shown_values(battle: Battle, side: Side, phase: str, *, again: bool = False) -> Shown:
    """Both players mostly decide at one moment, so the values are kept; `again`: a request has changed the side."""
    at = (battle.lines_read, phase)
    kept: Shown | None = battle.shown.get(side.player)
    if kept is None or kept.at != at or again:
        kept = battle.shown[side.player] = Shown(at, _side_values(battle, side), _active_values(battle, side.active),
                                                 _turn_values(side, phase), _stint_values(battle, side, phase))
    return kept


def _side_values(battle: Battle, side: Side) -> tuple[Any, ...]:
    """Hazards, screens, what is to come, and how many are left."""
    conditions = side.conditions
    screens: Sequence[int] = NO_SCREENS
    if battle.gen == 1 and side.active is not None:  # there screens are volatiles
        screens = _ages(battle, side.active.volatiles | conditions, SCREENS)
    elif conditions:
        screens = _ages(battle, conditions, SCREENS)
    return ("stealthrock" in conditions, conditions.get("spikes", 0), conditions.get("toxicspikes", 0),
            "stickyweb" in conditions, *screens,
            max(side.wish + 2 - battle.turn, 0) if side.wish else 0,
            max(side.future + 3 - battle.turn, 0) if side.future else 0,
            side.alive, side.gimmick_used.copy(), min(max(battle.turn - side.dynamaxed, 1), 3) if side.dynamaxed else 0)


def _active_values(battle: Battle, mon: Mon | None) -> tuple[Any, ...]:
    """Boosts, volatiles, counts of Perish Song and Stockpile, turns active, protect streak, last move."""
    flags, boosts, perish, stockpile, turns, streak, last = NO_VOLATILES, NO_BOOSTS, 0, 0, 0, 0, NONE
    if mon is not None and not mon.fainted:
        if volatiles := mon.volatiles:
            flags = flags.copy()
            for effect in volatiles:
                if effect in _INDEX:
                    flags[_INDEX[effect]] = True
            perish, stockpile = min(volatiles.get("perish", 0), 4), min(volatiles.get("stockpile", 0), 3)
        if any(mon.boosts):
            boosts = mon.boosts.copy()
        turns, streak = max(min(battle.turn - mon.came_in, TURN_MAX), 0), min(mon.protect_streak, 15)
        last = mon.last_move
    return (boosts, flags, perish, stockpile, turns, streak, last)


def _binds(battle: Battle, locked: str) -> bool:
    """Whether the only move that is open is one that it must go on with."""
    return bool(locked) and locked != "struggle" and not (battle.gen == 1 and locked in BINDING_MOVES)


def _bound(active: tuple[Any, ...], locked: str) -> tuple[Any, ...]:
    """The values of an active Pokémon that must recharge or go on with a move."""
    boosts, flags, *others = active
    flags = flags.copy()
    flags[_INDEX["mustrecharge" if locked == "recharge" else "locked"]] = True
    return (boosts, flags, *others)


def _turn_values(side: Side, phase: str) -> tuple[Any, ...]:
    """What the side did last: in the turn before, or earlier in this one."""
    turn = side.last_turn if phase == TURN else side.this_turn
    return (turn.move, turn.moved_first, turn.switched, turn.crit, turn.missed, turn.failed)


def _who_is_faster(battle: Battle, own: Side, opp: Side) -> tuple[int, list[int]]:
    """The own active Pokémon, and all six, against the opponent's active one: 1 faster, -1 slower, 0 not known."""
    foe = opp.active
    if foe is None or foe.fainted or foe.copied is not None:
        return 0, NO_ORDER
    known = battle.faster[own.player].get(foe)
    if known is None:
        return 0, NO_ORDER
    order, active = NO_ORDER.copy(), 0
    for mon, (is_faster, _) in known.items():
        if mon.slot >= 0 and mon.copied is None and not mon.fainted:
            order[mon.slot] = 1 if is_faster else -1
            if mon is own.active:
                active = order[mon.slot]
    return active, order


def _stint_values(battle: Battle, side: Side, phase: str) -> tuple[Any, ...]:
    """Of the active Pokémon: added type, turns of four effects, what Encore and Disable are about, the boosted stat,
    fallen allies, hits on its Substitute, how often it has repeated its move, and whether it has used two; and the
    damage that the side dealt last."""
    mon, damage = side.active, (side.last_turn if phase == TURN else side.this_turn).damage
    if damage:
        damage = round(min(damage, MOST_DAMAGE), 4)
    if mon is None or mon.fainted:
        return (NONE, NO_TURNS, NO_MOVES, NONE, 0, 0, 0, False, damage)
    turns, moves, hits, repeats, volatiles = NO_TURNS, NO_MOVES, 0, mon.repeats, mon.volatiles
    if volatiles:
        if not TIMED.isdisjoint(volatiles):
            turns = [min(max(battle.turn - volatiles[name], 1), COUNT_MAX) if name in volatiles else 0
                     for name in TIMED_EFFECTS]
            encored = mon.encored if mon.encored in mon.stint_moves else UNKNOWN  # it may be a Max Move's base move
            moves = [encored if "encore" in volatiles else NONE,
                     mon.disabled or UNKNOWN if "disable" in volatiles else NONE]
        if "substitute" in volatiles:
            hits = min(mon.substitute_hits, COUNT_MAX)
    return (mon.added_type if mon.added_type and not mon.terastallized else NONE, turns, moves, mon.boosted_stat,
            mon.fallen, hits, repeats if repeats < COUNT_MAX else COUNT_MAX, len(mon.stint_moves) > 1, damage)


def possible_gimmicks(battle: Battle, side: Side, phase: str, locked: str = "") -> list[bool]:
    """Which of mega, Z, dynamax, tera the active Pokémon could use, as far as the log shows."""
    can = [False] * 4
    mon = side.active
    if mon is None or phase != TURN or locked:
        return can
    # also where a National Dex format brings them back; crystals and stones are held nowhere else
    if battle.gen >= 6 and (item := battle.dex.items.get(item_of(mon))) is not None:
        can[MEGA] = not side.gimmick_used[MEGA] and mon.forme in item.mega
        can[Z] = not side.gimmick_used[Z] and bool(item.z_type or item.z_move)
    if mon.forme == "rayquaza" and "dragonascent" in moves_of(battle, side.player, mon):
        can[MEGA] = not side.gimmick_used[MEGA]
    can[DYNAMAX] = battle.may_dynamax(side)
    can[TERA] = battle.gen == 9 and not side.gimmick_used[TERA] and "tera" not in battle.banned
    return [False] * 4 if True in can and must_struggle(battle, side.player, mon) else can
