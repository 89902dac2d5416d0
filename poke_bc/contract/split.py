"""Contract 4: which battle is in which split.

`split.json` is written next to the manifest and says how the split was made; `split.bin` holds one byte per
trajectory, in manifest order. Rows are never copied. The rename of split.json commits a split: its bytes are complete
under a temporary name by then, where readers look for them too, and take their own name afterwards.

The split of a battle follows from a hash of (seed, battle), so both views of a battle share a split, in shards and
in JSONL files alike, and battles keep their split as a data set grows.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.files import (
    TEMPORARY,
    checksummed,
    digest,
    digest_file,
    fsync_folder,
    holds_json,
    read_checksummed,
    remove_temporaries,
    write_json,
)

SPLIT = "split.json"
SPLIT_FILE = "split.bin"
SPLIT_NAMES = ("train", "val", "test", "left_out")
"""A trajectory's byte in split.bin is an index into this. `left_out`: what does not meet the condition of the split,
and in splits by player the other player's view of a battle that belongs to a later split."""
TRAIN, VAL, TEST, LEFT_OUT = range(4)
_PENDING = f"{TEMPORARY}{SPLIT_FILE}"
SPLIT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a split was made, and its counts."""

    by: str
    seed: int
    val_ratio: float
    test_ratio: float
    where: str = ""
    """Condition for trajectories to take part; empty: all did."""
    data: str
    """`Manifest.identity` of the shards it belongs to."""
    file_xxh3: str
    """Digest of `split.bin`."""
    counts: dict[str, dict[str, int]]
    """Split -> battles, trajectories, decisions."""


def write_split(folder: Path, split: Split, splits_T: NDArray[np.uint8]) -> None:
    """Commit a split. Only one process at a time may do so.

    Raises UsageError where a file that `split` did not write would be overwritten.
    """
    _finish(folder)
    own = holds_json(folder / SPLIT, "version", "data", "file_xxh3")
    for name in (SPLIT, SPLIT_FILE):
        if os.path.lexists(folder / name) and not own:
            raise UsageError(f"{folder / name}: not written by poke-bc split, or damaged, so it is not overwritten",
                             hint="remove it or move it away, then split again")
    try:
        with open(folder / _PENDING, "wb") as file:
            file.write(splits_T.tobytes())
            file.flush()
            os.fsync(file.fileno())
        write_json(folder / SPLIT, checksummed({"version": SPLIT_VERSION, **asdict(split)}))
    finally:
        _finish(folder)


def _finish(folder: Path) -> None:
    """Finish or discard a split that was being written."""
    remove_temporaries(folder, SPLIT)
    pending = folder / _PENDING
    if pending.exists():
        committed = json.loads((folder / SPLIT).read_bytes()) if holds_json(folder / SPLIT, "file_xxh3") else {}
        if committed.get("file_xxh3") == digest_file(pending):
            pending.replace(folder / SPLIT_FILE)
            fsync_folder(folder)
        else:
            pending.unlink()


def read_split(folder: Path, identity: str) -> tuple[Split, NDArray[np.uint8]]:
    """The split of the shards in `folder`, and the index in SPLIT_NAMES of each trajectory [T].

    Args:
        folder: where the shards are.
        identity: `Manifest.identity`; a split made for other shards is refused.

    Raises ShardError.
    """
    path, hint = folder / SPLIT, f"poke-bc split {folder}"
    content = None
    for name in (SPLIT_FILE, _PENDING, SPLIT_FILE):  # another process may be committing one
        try:
            split = read_checksummed(path, Split, ShardError, version=("version", SPLIT_VERSION), hint=hint)
            content = (folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ShardError(f"{folder / name}: cannot be read ({error.strerror})", hint=hint) from None
        if digest(content) == split.file_xxh3:
            break
    else:
        if content is None:
            raise ShardError(f"{folder}: not split into train and val yet", hint=hint)
        raise ShardError(f"{folder / SPLIT_FILE}: damaged, its digest does not match {path}", hint=hint)
    if split.data != identity:
        raise ShardError(f"{path}: made for other shards than the ones here", hint=hint)
    return split, np.frombuffer(content, dtype=np.uint8)


def place_by_hash(battle_T: NDArray[np.uint64], seed: int, val_ratio: float, test_ratio: float) -> NDArray[np.uint8]:
    """Split of each battle hash [T] -> [T]: a pure function of (seed, hash) and the ratios.

    The hash is mixed with the seed by splitmix64's finaliser (Steele et al., "Fast splittable pseudorandom
    number generators", 2014) and read as a number in [0, 1). Test takes the lower end and val the upper one, so
    changing one ratio moves no battle into or out of the other split.

    >>> place_by_hash(np.arange(4, dtype=np.uint64), seed=42, val_ratio=1.0, test_ratio=0.0).tolist()
    [1, 1, 1, 1]
    """
    with np.errstate(over="ignore"):
        mixed = battle_T ^ (np.uint64(seed % (1 << 64)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    unit = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.where(unit < test_ratio, TEST, np.where(unit >= 1 - val_ratio, VAL, TRAIN)).astype(np.uint8)
