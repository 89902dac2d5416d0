"""poke-env's SimpleHeuristicsPlayer, fed from the simulator instead of a server: the same code on the same lines.

It needs poke-env, the extra `showdown`.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from poke_bc.contract.errors import UsageError
from poke_bc.play.contestant import NAMES
from poke_bc.play.session import INSTALL

if TYPE_CHECKING:
    from poke_env.battle import Battle



class HeuristicsChair:
    """poke-env's view of one battle, and the dice that it draws from where it knows nothing better."""

    def __init__(self, player: str, format_: str, seed: str) -> None:
        from poke_env.battle import Battle

        name = f"{format_}-{player}"
        logger = logging.getLogger(f"poke_bc.play.{name}")
        self.battle: Battle = Battle(name, NAMES[player], logger, gen=int(format_[3]))
        self.battle.player_role = player
        self.dice = random.Random(seed)

    def see(self, lines: Iterable[str]) -> None:
        """Take in the next lines."""
        for line in lines:
            words = line.split("|")
            if len(words) > 1 and words[1] not in ("win", "tie"):
                self.battle.parse_message(words)

    def ask(self, request: str) -> bool:
        """Take in a request."""
        asked: dict[str, Any] = json.loads(request)
        self.battle.parse_request(asked)
        return not asked.get("wait")


class Heuristics:
    """SimpleHeuristicsPlayer of poke-env: damage, types, hazards, when to switch, dynamax and terastallize.

    Raises UsageError if poke-env is not installed.
    """

    name = "heuristics"

    def __init__(self) -> None:
        try:
            from poke_env.player import SimpleHeuristicsPlayer
        except ImportError:
            raise UsageError("heuristics plays by poke-env, which is not installed", hint=INSTALL) from None
        self.player = SimpleHeuristicsPlayer

    def sit(self, player: str, format_: str, seed: str) -> HeuristicsChair:
        """A chair, see Contestant."""
        return HeuristicsChair(player, format_, seed)

    def answer(self, chairs: Sequence[HeuristicsChair]) -> list[str]:
        """Choices."""
        found = []
        for chair in chairs:
            with _global_dice(chair.dice):
                found.append(self.choice(chair))
        return found

    def choice(self, chair: HeuristicsChair) -> str:
        """The answer to one request; leads with whom it draws, as poke-env does."""
        if chair.battle.teampreview:
            members = [str(place) for place in range(1, len(chair.battle.team) + 1)]
            random.shuffle(members)
            return f"team {''.join(members)}"
        order, _ = self.player.choose_singles_move(chair.battle)
        return order.message.removeprefix("/choose ")


@contextmanager
def _global_dice(dice: random.Random) -> Iterator[None]:
    """Let Python's own dice, which poke-env uses, draw what `dice` would."""
    before = random.getstate()
    random.setstate(dice.getstate())
    try:
        yield
    finally:
        dice.setstate(random.getstate())
        random.setstate(before)
