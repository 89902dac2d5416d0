"""Which battle is in which split. A battle never spans two splits.

    by battle   a hash of (seed, battle): stable while the data grows; two records of one battle share its original_id
    by player   a hash of (seed, player_id): no player of val or test is in train. A battle between a train player and a
                val player belongs to val, and the train player's view of it is left out.
    by date     the latest battles are test, those before them val, all earlier ones train
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from poke_bc.contract.errors import UsageError
from poke_bc.contract.split import LEFT_OUT, SPLIT_NAMES, TEST, TRAIN, VAL, place_by_hash
from poke_bc.contract.trajectory import battle_hash

WAYS = ("battle", "player", "date")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
VIEWS = {"battle": pl.UInt64, "player_id": pl.String, "date": pl.String, "rows": pl.UInt32,
         "chosen": pl.Boolean}
"""What a split is made of: for each trajectory the hash of its battle, the number of its decisions, and
whether it takes part."""
Counts = dict[str, dict[str, int]]
"""Split -> battles, trajectories, decisions."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to split."""

    by: str = "battle"
    seed: int = 42
    val_ratio: float = 0.1
    test_ratio: float = 0.0
    where: str = ""
    """A condition for trajectories to take part (choose.py); empty: all do."""

    def __post_init__(self) -> None:
        if self.by not in WAYS:
            raise UsageError(f"--by {self.by}: unknown", hint=f"one of {', '.join(WAYS)}")
        val, test = self.val_ratio, self.test_ratio
        if not (min(val, test) >= 0 and val + test < 1):  # also refuses NaN
            raise UsageError(f"--val-ratio {val:g} and --test-ratio {test:g} leave nothing to train on",
                             hint="both must be at least 0, and together below 1")

    def __str__(self) -> str:
        where = f", where {self.where}" if self.where else ""
        return f"by {self.by}, val {self.val_ratio:g}, test {self.test_ratio:g}, seed {self.seed}{where}"

    @property
    def ratios(self) -> dict[int, float]:
        """Expected fraction of the battles in val and test; train takes the rest."""
        return {VAL: self.val_ratio, TEST: self.test_ratio}


@dataclass(frozen=True)
class SplitDone:
    """The result of a split."""

    counts: Counts
    files: tuple[Path, ...]
    unreadable: int = 0
    as_before: Way | None = None
    """How it was split, if that was taken from the split that was there."""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return self.counts | ({"unreadable_lines": self.unreadable} if self.unreadable else {})


def split_views(views: pl.DataFrame, where: str, way: Way) -> tuple[NDArray[np.uint8], Counts]:
    """Split of each view [T], in the order of `views` (VIEWS), and its counts.

    Raises UsageError if a split would be empty.
    """
    chosen_T = views["chosen"].to_numpy()
    if not chosen_T.any():
        raise UsageError(f"{where}: no trajectory with {way.where}", hint=f"what is there: poke-bc inspect {where}")
    splits_T = np.full(len(views), LEFT_OUT, np.uint8)
    splits_T[chosen_T] = assign(views.filter("chosen"), where, val_ratio=way.val_ratio, test_ratio=way.test_ratio,
                                seed=way.seed, by=way.by)
    counts = count(views, splits_T, left_out=way.by == "player" or way.where != "")
    for split, ratio in ((TRAIN, 1.0), *way.ratios.items()):
        if ratio > 0 and not counts[SPLIT_NAMES[split]]["decisions"]:
            battles = sum(each["battles"] for each in counts.values())
            raise UsageError(f"{where}: {SPLIT_NAMES[split]} would be empty ({battles:,} battles, "
                             f"--val-ratio {way.val_ratio:g})",
                             hint="raise the ratio, add battles, or try another --seed")
    return splits_T, counts


def assign(views: pl.DataFrame, where: str, *, val_ratio: float, test_ratio: float, seed: int,
           by: str) -> NDArray[np.uint8]:
    """Split of each view [T], in the order of `views` (battle, player_id, date). Raises UsageError."""
    if by == "battle":
        return place_by_hash(views["battle"].to_numpy(), seed, val_ratio, test_ratio)
    key = "player_id" if by == "player" else "date"
    if views[key].null_count():
        lacking = views[key].null_count()
        raise UsageError(f"{where}: --by {by} needs {key!r} in every trajectory, but {lacking:,} lack it",
                         hint="split --by battle, or write the key when converting")
    if by == "player":
        return _by_player(views, seed, val_ratio, test_ratio)
    odd = next((date for date in views["date"].unique(maintain_order=True) if not _ISO_DATE.match(date)), None)
    if odd is not None:
        raise UsageError(f"{where}: --by date needs dates as YYYY-MM-DD..., found {odd!r}",
                         hint="split --by battle, or write ISO dates when converting")
    return _by_date(views, val_ratio, test_ratio)


def _by_player(views: pl.DataFrame, seed: int, val_ratio: float, test_ratio: float) -> NDArray[np.uint8]:
    own = place_by_hash(np.array([battle_hash(name) for name in views["player_id"]], np.uint64),
                        seed, val_ratio, test_ratio)
    placed = views.select("battle", own=pl.Series(own))
    latest = placed.select(pl.col("own").max().over("battle")).to_series().to_numpy()
    return np.where(own == latest, own, LEFT_OUT).astype(np.uint8)


def _by_date(views: pl.DataFrame, val_ratio: float, test_ratio: float) -> NDArray[np.uint8]:
    """Battles of one date stay together, in the split of the first of them."""
    dated = views.select("battle", pl.col("date").min().over("battle"))
    earlier = (dated.unique().group_by("date").len().sort("date")
               .select("date", before=pl.col("len").cum_sum() - pl.col("len"), all=pl.col("len").sum()))
    place = dated.join(earlier, on="date", how="left", maintain_order="left").select(
        pl.col("before") / pl.col("all")).to_series().to_numpy()
    return np.where(place >= 1 - test_ratio, TEST, np.where(place >= 1 - test_ratio - val_ratio, VAL, TRAIN)) \
        .astype(np.uint8)


def count(views: pl.DataFrame, splits_T: NDArray[np.uint8], *, left_out: bool) -> Counts:
    """Split -> battles, trajectories, decisions; "left_out" only where there may be some."""
    found = (views.with_columns(split=pl.Series(splits_T)).group_by("split")
             .agg(battles=pl.col("battle").n_unique(), trajectories=pl.len(), decisions=pl.col("rows").sum()))
    rows = {SPLIT_NAMES[row.pop("split")]: {key: int(value) for key, value in row.items()} for row in found.to_dicts()}
    nothing = {"battles": 0, "trajectories": 0, "decisions": 0}
    return {name: rows.get(name, dict(nothing)) for name in SPLIT_NAMES[: 4 if left_out else 3]}
