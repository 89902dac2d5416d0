"""Which trajectories take part in a split: a condition on what is known of each as a whole, in the words of SQL.

It stands here and not in training, since a training machine needs no Polars, and not in preprocess, since a split costs
a second and leaves the shards as they are: another choice needs no other shards.
"""

from __future__ import annotations

import polars as pl

from poke_bc.contract.errors import UsageError
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
