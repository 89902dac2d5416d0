"""A player's live view of one battle: the lines and requests that it receives -> what convert would make of them later.

Nothing is known that its player does not know yet: the opponent's team, an Illusion and what comes later are not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from poke_bc.dex import dex, to_id
from poke_bc.showdown.asked import Asked, ask
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.damage.estimate import add_damage
from poke_bc.showdown.first_pass import generation
from poke_bc.showdown.protocol import tier_of
from poke_bc.showdown.public import PublicLines
from poke_bc.showdown.record import PLAYERS, BattleRecord, SkippedBattle
from poke_bc.showdown.request_types import PokemonRow, Request, check_request, typed
from poke_bc.showdown.requests import DecisionRequest, phase_of
from poke_bc.showdown.state import Mon
from poke_bc.showdown.team import learn_moves, requested_team
from poke_bc.showdown.tracker import follow

_DECODER = msgspec.json.Decoder(Request)


class Seat:
    """One player of one battle.

        seat.see(lines)                  the player's own lines, or a spectator's, as they come
        asked = seat.ask(request)        what it knows, and what it may answer
        estimate([asked, ...])           once for all that wait
        asked.choice(action, gimmick)    the answer

    Args:
        format_: id of the format, such as "gen9ou", with or without rules of one's own ("@@@Team Preview"); "": as the
            log's `|tier|` says.

    Methods raise SkippedBattle where a battle cannot be followed: doubles, a line of an unknown kind.
    """

    def __init__(self, format_: str = "") -> None:
        self.format = to_id(format_.split("@@@")[0])
        self.battle: Battle | None = None
        """None until the first request tells which team is the own one."""
        self._waiting: list[str] = []
        self._public: PublicLines | None = None
        self._unsure: list[Mon] = []
        """Own Pokémon that have been active in all requests: their moves were what Transform made of them, perhaps."""

    def see(self, lines: Iterable[str]) -> None:
        """Take in the next lines of the battle."""
        self._waiting += lines

    def ask(self, request: Mapping[str, Any] | str) -> Asked | None:
        """What the player knows at a request (an object, or its JSON), its estimates of damage not yet among it; None
        if the request wants no answer."""
        text = request if isinstance(request, str) else msgspec.json.encode(request)
        checked = check_request(typed(text, _DECODER, "request"), "request")
        rows = checked.get("side", {}).get("pokemon")
        if checked.get("wait") or not rows:
            return None
        if len(checked.get("active") or ()) > 1 or len(checked.get("forceSwitch") or ()) > 1:
            raise SkippedBattle("not singles", "two active Pokémon in a request")
        player = checked["side"].get("id") or rows[0]["ident"][:2]
        if player not in PLAYERS:
            raise SkippedBattle("not singles", "more than two players")
        battle = self.battle or self._begin(player, checked)
        assert self._public is not None
        follow(battle, list(self._public.of(self._waiting)))
        self._waiting = []
        self._learn(rows)
        return ask(battle, player, DecisionRequest(battle.lines_read, battle.turn, phase_of(checked), checked, ""))

    def _begin(self, player: str, request: Request) -> Battle:
        self._public = PublicLines(player)
        tier = next((line[6:] for line in self._waiting if line.startswith("|tier|")), "")
        self.format = self.format or to_id(tier.split("@@@")[0])
        gen = generation(BattleRecord("", self.format, tuple(self._waiting)))
        team = requested_team([request], dex(gen))
        self.battle = Battle(gen, {player: team}, tier=tier_of(self.format))
        self._unsure = [mon for mon, row in zip(team, request["side"]["pokemon"], strict=True)
                        if row.get("active") and [mon.nick for mon in team].count(mon.nick) == 1]
        return self.battle

    def _learn(self, rows: Sequence[PokemonRow]) -> None:
        """On the bench nothing is transformed."""
        for mon in [*self._unsure]:
            row = next((row for row in rows if row["ident"].endswith(f": {mon.nick}")), None)
            if row is not None and not row.get("active"):
                self._unsure.remove(mon)
                assert self.battle is not None
                learn_moves(mon, row["moves"], self.battle.dex)


def estimate(asked: Sequence[Asked]) -> None:
    """Add the estimates of damage to observations of any battles, in place."""
    by_gen: dict[int, list[Asked]] = {}
    for each in asked:
        by_gen.setdefault(each.gen, []).append(each)
    for gen, group in by_gen.items():
        add_damage([each.observation for each in group], gen, [each.stats for each in group])
