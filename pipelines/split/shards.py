"""Splits a folder of shards: split.json and split.bin next to the manifest."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipelines.split.assign import SplitDone, Way, split_views
from pipelines.split.choose import chosen, read_known
from poke_bc.contract.errors import UsageError
from poke_bc.contract.files import digest, exclusively
from poke_bc.contract.intact import check_files
from poke_bc.contract.manifest import FileEntry, Manifest
from poke_bc.contract.split import SPLIT, Split, write_split
from poke_bc.contract.trajectory import TRAJECTORY_KEYS, battle_hash

_LOCK = ".split.lock"


def split_shards(folder: Path, way: Way) -> SplitDone:
    """Split all trajectories. Raises ShardError, UsageError."""
    manifest = Manifest.read(folder)
    busy = UsageError(f"{folder}: another poke-bc split is splitting it", hint="wait for it")
    with exclusively(folder / _LOCK, busy):
        try:
            tables = [shard.trajectories for shard in manifest.shards]
            check_files(folder, tables)
            views = pl.concat([_read_views(folder, table, way) for table in tables])
            splits_T, counts = split_views(views, str(folder), way)
            write_split(folder, Split(
                by=way.by, seed=way.seed, val_ratio=way.val_ratio, test_ratio=way.test_ratio, where=way.where,
                data=manifest.identity, file_xxh3=digest(splits_T.tobytes()), counts=counts), splits_T)
        finally:
            (folder / _LOCK).unlink(missing_ok=True)
    return SplitDone(counts, (folder / SPLIT,))


def _read_views(folder: Path, entry: FileEntry, way: Way) -> pl.DataFrame:
    """The views of a shard, as in VIEWS. Raises ShardError."""
    known = [*TRAJECTORY_KEYS] if way.where else ["replay_id", "original_id", "player_id", "date"]
    frame = read_known(folder, entry, known)
    ids = frame.select(pl.coalesce(pl.col("original_id").replace("", None), "replay_id")).to_series()
    battles = pl.Series("battle", [battle_hash(id_) for id_ in ids], dtype=pl.UInt64)
    taken = chosen(frame, way.where) if way.where else pl.lit(True)
    return frame.select(battles, "player_id", "date", rows="decisions", chosen=taken)
