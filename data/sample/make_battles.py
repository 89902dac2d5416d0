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
import logging
import os
import random
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash
from poke_env.battle import Battle, Move
from poke_env.player import SimpleHeuristicsPlayer, SingleBattleOrder

from pipelines.jobs.streams import with_checksum

Json = dict[str, Any]

FORMATS = tuple(f"gen{gen}randombattle" for gen in (4, 6, 7, 8, 9))
BATTLES = 200
"""Of each format, which take turns in the file."""
RANDOM = 0.05
"""Share of the decisions that are drawn from all legal ones."""
PLAYERS = {"p1": "Alpha", "p2": "Beta"}
ZSTD_LEVEL = 22
"""Requests repeat most of the one before: 1.64 MB for 112 of text, 1.99 at level 19, whose window is smaller."""

SIMULATOR = """
const {BattleStream} = require(process.argv[1] + '/dist/sim/battle-stream.js');
const battles = new BattleStream({keepAlive: true, noCatch: true});
(async () => { for await (const message of battles) console.log(JSON.stringify(message)); })();
require('readline').createInterface({input: process.stdin}).on('line', line => {
  battles.write(JSON.parse(line));
  setImmediate(() => console.log('null'));
});
"""
"""Takes JSON strings, one a line, and answers each with the simulator's messages, then null."""


class Simulator:
    """Showdown's simulator in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    def tell(self, *lines: str) -> list[list[str]]:
        """Send lines such as `>p1 move 1`; returns the messages that come back, their kind in the first line."""
        self._input.write(json.dumps("\n".join(lines)) + "\n")
        self._input.flush()
        found = []
        for line in self._output:
            message = json.loads(line)
            if message is None:
                return found
            found.append(message.split("\n"))
        raise EOFError("the simulator ended")


@contextmanager
def simulator(showdown: Path) -> Iterator[Simulator]:
    """Runs while the context lasts."""
    command = ["node", "-e", SIMULATOR, str(showdown.resolve())]
    with subprocess.Popen(command, encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Simulator(process)


def shown_to(viewer: str, lines: Iterable[str]) -> list[str]:
    """What one player, or a spectator (""), sees of an update; without times, which differ from run to run."""
    shown, rest = [], iter(lines)
    for line in rest:
        if line.startswith("|split|"):
            secret, public = next(rest), next(rest)
            line = secret if line.removeprefix("|split|") == viewer else public
            if not line:
                continue
        if not line.startswith("|t:|"):
            shown.append(line)
    return shown


class Teacher:
    """One player of one battle: a SimpleHeuristicsPlayer that also mega-evolves and uses Z-moves.

    poke-env's own player terastallizes and dynamaxes only. It sees what a player sees, never the other's secrets.
    """

    def __init__(self, player: str, battle_id: str, dice: random.Random) -> None:
        self.decisions: list[Json] = []
        """In the form of a battle record."""
        self.request: Json = {}
        self._player = player
        self._battle = Battle(battle_id, PLAYERS[player], logging.getLogger(battle_id), gen=int(battle_id[3]))
        self._battle.player_role = player
        self._dice = dice

    def see(self, update: Iterable[str]) -> None:
        """Lines of an update with everybody's secrets."""
        for line in shown_to(self._player, update):
            words = line.split("|")
            if len(words) > 1 and words[1] not in ("win", "tie"):
                self._battle.parse_message(words)

    def ask(self, request: Json) -> None:
        """A request of the simulator."""
        self.request = request
        self._battle.parse_request(request)

    def choose(self, after_line: int) -> str:
        """Answer the request."""
        if self._dice.random() < RANDOM:
            order = self._dice.choice(self._battle.valid_orders)
        else:
            order, score = SimpleHeuristicsPlayer.choose_singles_move(self._battle)
            if score > 0:
                self._power_up(order)
        choice = order.message.removeprefix("/choose ")
        self.decisions.append({"after_line": after_line, "request": self.request, "choice": choice})
        return choice

    def _power_up(self, attack: SingleBattleOrder) -> None:
        """With a mega evolution as soon as it can; as a Z-move if that is not resisted."""
        own, opponent, move = self._battle.active_pokemon, self._battle.opponent_active_pokemon, attack.order
        if self._battle.can_mega_evolve:
            attack.mega = True
        elif self._battle.can_z_move and own and opponent and isinstance(move, Move):
            attack.z_move = move in own.available_z_moves and opponent.damage_multiplier(move) >= 1


def play(simulator: Simulator, format_: str, number: int) -> Json:
    """The record of one battle, played to its end."""
    battle_id = f"{format_}-{number}"
    dice = random.Random(battle_id)
    random.seed(battle_id)  # poke-env draws from it where it knows nothing better

    def seed() -> list[int]:
        return [dice.randrange(1 << 16) for _ in range(4)]

    teachers = {player: Teacher(player, battle_id, dice) for player in PLAYERS}
    spectator: list[str] = []
    messages = simulator.tell(
        ">start " + json.dumps({"formatid": format_, "seed": seed()}),
        *(f">player {player} {json.dumps({'name': name, 'seed': seed()})}" for player, name in PLAYERS.items()))
    while True:
        asked = []
        for kind, *lines in messages:
            if kind == "update":
                spectator += shown_to("", lines)
                for teacher in teachers.values():
                    teacher.see(lines)
            elif kind == "sideupdate":
                player, (_, what, text) = lines[0], lines[1].split("|", 2)
                if what == "error":  # the opponent traps it, which it could not know: it is asked again
                    assert text.startswith("[Unavailable choice]"), text
                    teachers[player].decisions[-1]["rejected"] = True
                elif what == "request":
                    teachers[player].ask(json.loads(text))
                    asked.append(player)
            elif kind == "end":
                return {"id": battle_id, "format": format_, "spectator": spectator,
                        **{player: teacher.decisions for player, teacher in teachers.items()}}
        after_line = len(spectator)
        messages = [message for player in asked if not teachers[player].request.get("wait")
                    for message in simulator.tell(f">{player} {teachers[player].choose(after_line)}")]


def main() -> None:
    """Read the command line and make the sample."""
    parser = argparse.ArgumentParser(description="Play the battles of the sample.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="folder to write to")
    parser.add_argument("--battles", type=int, default=BATTLES, metavar="N", help="of each format")
    args = parser.parse_args()
    if "SHOWDOWN" not in os.environ:
        parser.error("set SHOWDOWN to the folder of the npm package pokemon-showdown")
    with simulator(Path(os.environ["SHOWDOWN"])) as showdown:
        records = [play(showdown, format_, number) for number in range(args.battles) for format_ in FORMATS]
    text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()
    packed = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(text, asbytes=True)
    (args.out / "battles.jsonl.zst").write_bytes(with_checksum(packed, xxhash.xxh64_intdigest(text)))


if __name__ == "__main__":
    main()
