"""The tracker: follows a battle line by line, with one function of poke_bc.showdown.lines for each kind of line.

Source of the rules: smogon/pokemon-showdown, sim/SIM-PROTOCOL.md and the `this.battle.add` calls of sim/ and data/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines import boosts, effects, entry, field, health, hidden_power, moves, reveals
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import Mon

IGNORED = frozenset("""
    -block -candynamax -center -combine -hint -hitcount -message -nothing -ohko
    -waiting -zbroken : J L N ScrapeTime askreg badge bigerror c c: callback challstr chat
    chatmsg chatmsg-raw choice clearpoke controlshtml customgroups debug deinit error expire fieldhtml formats
    gen hidelines html inactive inactiveoff init j join l leave message n name nametaken noinit notify pagehtml
    pm popup poststart queryresponse rated raw refresh request seed selectorhtml sentchoice showteam split
    t: tempnotify tempnotifyoff tier title tournament uhtml uhtmlchange unlink updatechallenges
    updatepoke updatesearch updateuser usercount userlist users userstats warning
    """.split()) | {""}
"""Lines that change nothing here; a live player's room has chat among them."""

_MINOR = re.compile("-[a-z]{3,30}")

LineListener = Callable[[int, list[str]], None]
"""Called with the number of a line and its fields."""
Listeners = Mapping[str, Sequence[LineListener]]
"""By kind of line; called in this order."""
NO_LISTENERS: Listeners = {}
ABOUT_POKEMON: dict[str, Callable[[Battle, Mon, list[str]], None]] = {
    "-ability": reveals.ability, "-activate": effects.activate, "-anim": moves.anim, "-boost": boosts.boost,
    "-copyboost": boosts.copy_boosts, "-curestatus": health.cure, "-damage": health.damage, "-end": effects.end,
    "-endability": reveals.end_ability, "-enditem": reveals.end_item, "-formechange": effects.forme,
    "-heal": health.heal, "-item": reveals.item, "-mustrecharge": moves.recharge, "-prepare": moves.prepare,
    "-primal": effects.activate, "-remove": effects.end, "-setboost": boosts.boost, "-singlemove": effects.single,
    "-singleturn": effects.single, "-start": effects.start, "-status": health.status, "-swapboost": boosts.swap_boosts,
    "-transform": effects.transform, "-unboost": boosts.boost, "detailschange": effects.forme,
}
"""Lines about the Pokémon in their first field; they do nothing if it is not known."""
HANDLERS: dict[str, Callable[[Battle, list[str]], None] | None] = dict.fromkeys(IGNORED) | {
    "-burst": effects.mega, "-clearallboost": boosts.clear_boosts, "-clearboost": boosts.clear_boosts,
    "-clearnegativeboost": boosts.clear_boosts, "-clearpositiveboost": boosts.clear_boosts, "-crit": moves.crit,
    "-cureteam": health.cure_team, "-fail": moves.failed,
    "-fieldactivate": field.field_activate, "-fieldend": field.field_end,
    "-fieldstart": field.field_start, "-immune": moves.failed, "-invertboost": boosts.clear_boosts,
    "-mega": effects.mega, "-miss": moves.missed, "-notarget": moves.failed,
    "-resisted": hidden_power.effective, "-restoreboost": boosts.clear_boosts,
    "-sethp": health.set_hp, "-sideend": field.side_end, "-sidestart": field.side_start,
    "-supereffective": hidden_power.effective, "-swapsideconditions": field.swap_sides,
    "-terastallize": effects.terastallize, "-weather": field.weather,
    "-zpower": effects.zpower, "cant": moves.cant, "drag": entry.switch, "faint": health.faint,
    "gametype": field.game_type, "move": moves.move, "player": field.player, "poke": entry.poke,
    "replace": entry.replace, "rule": field.rule, "start": field.start, "switch": entry.switch,
    "teampreview": field.team_preview, "teamsize": field.team_size, "tie": field.won, "turn": field.turn,
    "upkeep": field.upkeep, "win": field.won,
}
"""All other lines."""


def follow(battle: Battle, lines: Iterable[str], before: Listeners = NO_LISTENERS,
           after: Listeners = NO_LISTENERS) -> None:
    """Update the battle with the next lines. Raises SkippedBattle where they cannot be followed.

    Args:
        battle: updated in place.
        lines: the lines behind the first `battle.lines_read`.
        before, after: what to call besides, before and after a line updates the battle.

    >>> battle = Battle(9)
    >>> follow(battle, ["|switch|p1a: Pika|Pikachu, L50|100/100", "|turn|1", "|-damage|p1a: Pika|40/100"])
    >>> battle.turn, battle.sides["p1"].active.hp
    (1, 0.4)
    """
    for number, line in enumerate(lines, start=battle.lines_read):
        battle.lines_read = number + 1
        if line == "|" or line[:1] != "|":
            continue
        parts = line.split("|")
        kind = parts[1]
        try:
            if kind in before:
                for listener in before[kind]:
                    listener(number, parts)
            if kind in ABOUT_POKEMON:
                if (mon := battle.mon(parts[2], parts)) is not None:
                    ABOUT_POKEMON[kind](battle, mon, parts)
            elif (handler := HANDLERS.get(kind, _pass_over)) is not None:
                handler(battle, parts)
            if kind in after:
                for listener in after[kind]:
                    listener(number, parts)
        except (IndexError, KeyError, ValueError):  # a field is missing, names no player, or is not a number
            raise SkippedBattle("damaged line", kind) from None


def together(*listeners: Mapping[str, LineListener]) -> dict[str, list[LineListener]]:
    """Listeners that are called in the order given."""
    found: dict[str, list[LineListener]] = {}
    for each in listeners:
        for kind, listener in each.items():
            found.setdefault(kind, []).append(listener)
    return found


def _pass_over(battle: Battle, parts: list[str]) -> None:
    """Count a minor line of a kind that is not known yet; a major one is refused."""
    if not _MINOR.fullmatch(parts[1]):
        raise SkippedBattle("unknown line", parts[1])
    battle.passed_over[parts[1]] = battle.passed_over.get(parts[1], 0) + 1
