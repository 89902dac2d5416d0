"""Static facts of the games: species, moves, items, types and learnsets of generations 1 to 9."""

from poke_bc.dex.load import RENAMED, Dex, dex, spelling, to_id
from poke_bc.dex.records import Item, Move, Species

__all__ = ["RENAMED", "Dex", "Item", "Move", "Species", "dex", "spelling", "to_id"]
