"""What each line of the protocol does to the battle: one function a kind of line, sorted by subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from poke_bc.showdown.lines import boosts, effects, entry, field, health, moves, reveals

if TYPE_CHECKING:
    from poke_bc.showdown.battle import Battle

IGNORED = frozenset("""
    -block -candynamax -center -combine -fieldactivate -hint -hitcount -message -nothing -ohko -resisted
    -supereffective -waiting -zbroken : J L N ScrapeTime askreg badge bigerror c c: callback challstr chat
    chatmsg chatmsg-raw choice clearpoke controlshtml customgroups debug deinit error expire fieldhtml formats
    gen hidelines html inactive inactiveoff init j join l leave message n name nametaken noinit notify pagehtml
    pm popup poststart queryresponse rated raw refresh request seed selectorhtml sentchoice showteam split start
    t: teampreview tempnotify tempnotifyoff tier title tournament uhtml uhtmlchange unlink updatechallenges
    updatepoke updatesearch updateuser upkeep usercount userlist users userstats warning
    """.split()) | {""}
"""Lines that change nothing here; a live player's room has chat among them."""

HANDLERS: dict[str, Callable[[Battle, list[str]], None]] = {
    "-ability": reveals.ability, "-activate": effects.activate, "-anim": moves.anim, "-boost": boosts.boost,
    "-burst": effects.mega,
    "-clearallboost": boosts.clear_boosts, "-clearboost": boosts.clear_boosts,
    "-clearnegativeboost": boosts.clear_boosts, "-clearpositiveboost": boosts.clear_boosts,
    "-copyboost": boosts.copy_boosts, "-crit": moves.crit, "-cureteam": health.cure_team,
    "-curestatus": health.cure, "-damage": health.damage, "-end": effects.end, "-endability": reveals.end_ability,
    "-enditem": reveals.end_item, "-fail": moves.failed, "-fieldend": field.field_end,
    "-fieldstart": field.field_start, "-formechange": effects.forme, "-heal": health.heal,
    "-immune": moves.failed, "-invertboost": boosts.clear_boosts, "-item": reveals.item, "-mega": effects.mega,
    "-miss": moves.missed, "-mustrecharge": moves.recharge, "-notarget": moves.failed,
    "-prepare": moves.prepare, "-primal": effects.activate,
    "-remove": effects.end, "-restoreboost": boosts.clear_boosts, "-setboost": boosts.boost,
    "-sethp": health.set_hp, "-sideend": field.side_end, "-sidestart": field.side_start,
    "-singlemove": effects.single, "-singleturn": effects.single, "-start": effects.start, "-status": health.status,
    "-swapboost": boosts.swap_boosts, "-swapsideconditions": field.swap_sides,
    "-terastallize": effects.terastallize, "-transform": effects.transform, "-unboost": boosts.boost,
    "-weather": field.weather, "-zpower": effects.zpower, "cant": moves.cant, "detailschange": effects.forme,
    "drag": entry.switch, "faint": health.faint, "gametype": field.game_type, "move": moves.move,
    "player": field.player, "poke": entry.poke, "replace": entry.replace, "rule": field.rule,
    "switch": entry.switch, "teamsize": field.team_size, "tie": field.won, "turn": field.turn,
    "win": field.won,
}
