"""Which trajectories take part: a condition on what is known of each as a whole, in the words of SQL.

A split chooses by it what is trained and evaluated on, and `poke-bc train` what is learned from. It stands here and not
in training, since a training machine needs no Polars, and not in preprocess, since reading the tables of trajectories
takes a second and leaves the shards as they are: another choice needs no other shards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.intact import check_files, open_arrow
from poke_bc.contract.manifest import FileEntry, Manifest
from poke_bc.contract.trajectory import TRAJECTORY_KEYS

_TYPES = {str: pl.String, int: pl.Int64, float: pl.Float64}
KNOWN: dict[str, type[pl.DataType]] = {
    **{name: _TYPES[kind] for name, kind in TRAJECTORY_KEYS.items()}, "decisions": pl.UInt32}
"""What a condition may name."""


def chosen(known: pl.DataFrame, condition: str) -> pl.Series:
    """Whether the condition holds for each trajectory; it does not where it depends on something unknown.

    Args:
        known: columns of KNOWN.
        condition: such as "rating >= 1500 and format == 'gen9ou'".

    Raises UsageError for anything but a condition.

    >>> chosen(pl.DataFrame({"rating": [1400.0, 1600.0, None]}), "rating >= 1500").to_list()
    [False, True, False]
    """
    hint = f"such as \"rating >= 1500 and format == 'gen9ou'\"; there are {', '.join(known.columns)}"
    try:
        found = known.select(holds=pl.sql_expr(condition)).to_series()
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"--where {condition}: {str(error).splitlines()[0]}", hint=hint) from None
    if found.dtype != pl.Boolean or len(found) != len(known):
        raise UsageError(f"--where {condition}: not a condition on each trajectory", hint=hint)
    return found.fill_null(False)


def chosen_trajectories(folder: str | Path, condition: str) -> NDArray[np.bool_]:
    """For which trajectories of shards the condition holds, in their order. Raises ShardError, UsageError."""
    folder = Path(folder)
    tables = [shard.trajectories for shard in Manifest.read(folder).shards]
    check_files(folder, tables)
    found: NDArray[np.bool_] = np.concatenate([np.empty(0, np.bool_), *(
        chosen(read_known(folder, table, [*TRAJECTORY_KEYS]), condition).to_numpy() for table in tables)])
    return found


def read_known(folder: Path, entry: FileEntry, names: list[str]) -> pl.DataFrame:
    """Columns of a shard's table of trajectories, and `decisions`. Raises ShardError."""
    try:
        return pl.DataFrame(open_arrow(folder / entry.name).read_all().select([*names, "rows"])) \
            .rename({"rows": "decisions"})
    except KeyError as error:
        raise ShardError(f"{folder / entry.name}: not a table of trajectories ({error})",
                         hint=f"write the shards again: poke-bc preprocess RAW.jsonl --out {folder}") from None
