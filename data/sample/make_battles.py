"""Battles between poke-env's SimpleHeuristicsPlayers, played in Showdown's simulator -> battles.jsonl.zst.

    npm install pokemon-showdown@0.11.11 --omit=optional
    pip install -c constraints.txt -e '.[showdown]'
    SHOWDOWN=node_modules/pokemon-showdown python data/sample/make_battles.py

Teams, dice and the players' own draws come from seeds, so that the same versions (poke-env 0.16.1 by constraints.txt)
give the same text again, in about three minutes. poke-bc reads the sample without any of them.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import xxhash
from poke_env.battle import Move
from poke_env.player import SingleBattleOrder

from pipelines.jobs.streams import with_checksum
from poke_bc.play.heuristics import Heuristics, HeuristicsChair
from poke_bc.play.match import Setup, play
from poke_bc.play.simulator import Simulator
from poke_bc.showdown.record import PLAYERS

FORMATS = tuple(f"gen{gen}randombattle" for gen in (4, 6, 7, 8, 9))
BATTLES = 200
"""Of each format, which take turns in the file."""
RANDOM = 0.05
"""Share of the decisions that are drawn from all legal ones."""
ZSTD_LEVEL = 22
"""Requests repeat most of the one before: 1.64 MB for 112 of text, 1.99 at level 19, whose window is smaller."""


class Teacher(Heuristics):
    """SimpleHeuristicsPlayer for both players of one battle, that also mega-evolves and uses Z-moves.

    poke-env's own player terastallizes and dynamaxes only. It sees what a player sees, never the other's secrets.
    """

    def __init__(self, battle_id: str, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._poke_env_dice = random.Random(battle_id)

    def sit(self, player: str, format_: str, seed: str) -> HeuristicsChair:
        """A chair; both players draw from the same dice."""
        chair = super().sit(player, format_, seed)
        chair.dice = self._poke_env_dice
        return chair

    def choice(self, chair: HeuristicsChair) -> str:
        """Answer the request."""
        if self._dice.random() < RANDOM:
            order = self._dice.choice(chair.battle.valid_orders)
        else:
            order, score = self.player.choose_singles_move(chair.battle)
            if score > 0:
                self._power_up(chair, order)
        return str(order.message.removeprefix("/choose "))

    def _power_up(self, chair: HeuristicsChair, attack: SingleBattleOrder) -> None:
        """With a mega evolution as soon as it can; as a Z-move if that is not resisted."""
        battle = chair.battle
        own, opponent, move = battle.active_pokemon, battle.opponent_active_pokemon, attack.order
        if battle.can_mega_evolve:
            attack.mega = True
        elif battle.can_z_move and own and opponent and isinstance(move, Move):
            attack.z_move = move in own.available_z_moves and opponent.damage_multiplier(move) >= 1


def setups(battles: int) -> Iterator[Setup]:
    """All battles of the sample."""
    for number in range(battles):
        for format_ in FORMATS:
            battle_id = f"{format_}-{number}"
            dice = random.Random(battle_id)
            seeds: list[Sequence[int]] = [[dice.randrange(1 << 16) for _ in range(4)] for _ in range(3)]
            teams = {player: {"seed": seed} for player, seed in zip(PLAYERS, seeds[1:], strict=True)}
            yield Setup(battle_id, format_, seeds[0], dict.fromkeys(PLAYERS, Teacher(battle_id, dice)), teams)


def main() -> None:
    """Read the command line and make the sample."""
    parser = argparse.ArgumentParser(description="Play the battles of the sample.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="folder to write to")
    parser.add_argument("--battles", type=int, default=BATTLES, metavar="N", help="of each format")
    args = parser.parse_args()
    with Simulator() as simulator:
        played = sorted(play(simulator, setups(args.battles)), key=lambda battle: battle.number)
    text = "".join(json.dumps(battle.record, separators=(",", ":")) + "\n" for battle in played).encode()
    packed = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(text, asbytes=True)
    (args.out / "battles.jsonl.zst").write_bytes(with_checksum(packed, xxhash.xxh64_intdigest(text)))


if __name__ == "__main__":
    main()
