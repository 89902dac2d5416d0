"""Contract 4: which battle is in which part.

`split.json` stands beside the manifest and says how the split was made; `split.bin` holds one byte a
trajectory, in manifest order. Rows are never copied.

A battle's place comes from a hash of (seed, battle), so both views of a battle fall together, in shards and
in JSONL files alike, and a growing data set keeps its split.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.errors import ShardError
from poke_bc.contract.files import atomic_write, checksum_holds, checksummed, digest, write_json

SPLIT = "split.json"
SPLIT_FILE = "split.bin"
SPLIT_NAMES = ("train", "val", "test", "left_out")
"""The byte of a trajectory is an index into this. `left_out`: with a split by player, the view of the other
player in a battle that belongs to a later part."""
TRAIN, VAL, TEST, LEFT_OUT = range(4)
SPLIT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a split was made, and what is in it."""

    by: str
    seed: int
    val_ratio: float
    test_ratio: float
    data: str
    """`Manifest.identity` of the shards it belongs to."""
    file_xxh3: str
    counts: dict[str, dict[str, int]]
    """Part -> battles, trajectories, decisions."""


def write_split(folder: Path, split: Split, parts_T: NDArray[np.uint8]) -> None:
    """Commit a split: the bytes first, then the JSON that names their digest."""
    with atomic_write(folder / SPLIT_FILE) as file:
        file.write(parts_T.tobytes())
    write_json(folder / SPLIT, checksummed({"version": SPLIT_VERSION, **asdict(split)}))


def read_split(folder: Path, identity: str) -> tuple[Split, NDArray[np.uint8]]:
    """The split of the shards in `folder`, and the part of each trajectory [T].

    Args:
        folder: where the shards are.
        identity: `Manifest.identity`; a split of other shards is refused.

    Raises ShardError.
    """
    again = f"poke-bc split {folder}"
    try:
        value: dict[str, Any] = json.loads((folder / SPLIT).read_bytes())
        parts = (folder / SPLIT_FILE).read_bytes()
    except FileNotFoundError:
        raise ShardError(f"{folder}: not split into train and val yet", hint=again) from None
    except (OSError, ValueError) as error:
        raise ShardError(f"{folder / SPLIT}: cannot be read ({error})", hint=again) from None
    if not isinstance(value, dict) or value.get("version") != SPLIT_VERSION:
        raise ShardError(f"{folder / SPLIT}: not a split of version {SPLIT_VERSION}", hint=again)
    if not checksum_holds(value) or digest(parts) != value["file_xxh3"]:
        raise ShardError(f"{folder / SPLIT}: damaged, its digest does not hold", hint=again)
    if value["data"] != identity:
        raise ShardError(f"{folder / SPLIT}: made for other shards than the ones here", hint=again)
    split = Split(**{key: item for key, item in value.items() if key not in ("version", "xxh3")})
    return split, np.frombuffer(parts, dtype=np.uint8)


def place_by_hash(battle_T: NDArray[np.uint64], seed: int, val_ratio: float, test_ratio: float) -> NDArray[np.uint8]:
    """Part of each battle hash [T] -> [T]: a pure function of (seed, hash) and the ratios.

    The hash is mixed with the seed by splitmix64's finaliser (Steele et al., "Fast splittable pseudorandom
    number generators", 2014) and read as a number in [0, 1): test is taken from the lower end and val from the
    upper one, so that another ratio of the one moves no battle into or out of the other.

    >>> place_by_hash(np.arange(4, dtype=np.uint64), seed=42, val_ratio=1.0, test_ratio=0.0).tolist()
    [1, 1, 1, 1]
    """
    with np.errstate(over="ignore"):
        mixed = battle_T ^ (np.uint64(seed % (1 << 64)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    unit = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    parts = np.where(unit < test_ratio, TEST, np.where(unit >= 1 - val_ratio, VAL, TRAIN))
    return parts.astype(np.uint8)
