"""Battles between random players, in random_players.jsonl.zst: all that the sample's players seldom do, or never.

41 of generations 1 to 9, made in Showdown's simulator by players that choose among all legal actions: mega evolutions,
Z-moves, Dynamax, terastallization, team preview, Illusion, Transform, and switches refused by a hidden trap. Records
as in data/sample.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pyarrow as pa

PATH = Path(__file__).resolve().parent / "random_players.jsonl.zst"


@cache
def random_battles() -> tuple[str, ...]:
    """One battle a line, as JSON; four of each generation, then one with team preview where there is one."""
    with pa.input_stream(str(PATH), compression="zstd") as stream:
        return tuple(stream.read().decode().splitlines())
