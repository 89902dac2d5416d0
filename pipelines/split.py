"""split: which battle is in which split. A battle never spans two splits.

    by battle   a hash of (seed, battle): stable while the data grows; two records of one battle share its original_id
    by player   a hash of (seed, player_id): no player of val or test is in train. A battle between a train player and a
                val player belongs to val, and the train player's view of it is left out.
    by date     the latest battles are test, those before them val, all earlier ones train
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.jobs.inputs import STDIN, check_readable
from pipelines.jobs.streams import COMPRESSION, open_stream
from pipelines.preprocess.parquet_blocks import is_parquet
from poke_bc.contract.errors import InputError, ShardError, UsageError
from poke_bc.contract.files import atomic_write, digest
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import LEFT_OUT, SPLIT_NAMES, TEST, TRAIN, VAL, Split, place_by_hash, write_split
from poke_bc.contract.trajectory import battle_hash

WAYS = ("battle", "player", "date")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
MAX_BAD = 0.001
"""Largest fraction of a JSONL file's lines that may be unreadable; they go into no split."""


@dataclass(frozen=True)
class SplitDone:
    """The result of a split."""

    counts: dict[str, dict[str, int]]
    """Split -> battles, trajectories, decisions."""
    files: tuple[Path, ...]
    unreadable: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return self.counts | ({"unreadable_lines": self.unreadable} if self.unreadable else {})


def split(path: str | Path, *, val_ratio: float = 0.1, test_ratio: float = 0.0, seed: int = 42,
          by: str = "battle") -> SplitDone:
    """Split shards (a folder) or a JSONL file.

    Args:
        path: a folder of shards, which gets a split.json next to its manifest; or a JSONL file (.gz, .zst too), next to
            which FILE.train.jsonl, FILE.val.jsonl and, with a test ratio, FILE.test.jsonl are written.
        val_ratio, test_ratio: expected fraction of the battles, at least 0, together below 1.
        seed: seed of the hash.
        by: "battle", "player" or "date".

    Raises UsageError, ShardError, InputError.
    """
    if by not in WAYS:
        raise UsageError(f"--by {by}: unknown", hint=f"one of {', '.join(WAYS)}")
    if not (min(val_ratio, test_ratio) >= 0 and val_ratio + test_ratio < 1):  # also refuses NaN
        raise UsageError(f"--val-ratio {val_ratio:g} and --test-ratio {test_ratio:g} leave nothing to train on",
                         hint="both must be at least 0, and together below 1")
    path = Path(path)
    if path.is_dir():
        return split_shards(path, val_ratio=val_ratio, test_ratio=test_ratio, seed=seed, by=by)
    if not path.exists():
        raise UsageError(f"{path}: no such folder or file", hint="poke-bc preprocess RAW.jsonl makes data/shards")
    if is_parquet(str(path)):
        raise UsageError(f"{path}: split copies lines of JSONL files, and this one is Parquet",
                         hint=f"poke-bc preprocess {path} --out data/shards, then split the shards")
    return split_file(path, val_ratio=val_ratio, test_ratio=test_ratio, seed=seed, by=by)


def split_shards(folder: Path, *, val_ratio: float = 0.1, test_ratio: float = 0.0, seed: int = 42,
                 by: str = "battle") -> SplitDone:
    """Write split.json and split.bin next to the manifest."""
    manifest = Manifest.read(folder)
    views = pl.concat([read_views(folder / shard.trajectories.name) for shard in manifest.shards])
    splits_T = assign(views, str(folder), val_ratio=val_ratio, test_ratio=test_ratio, seed=seed, by=by)
    counts = count(views, splits_T, by)
    _refuse_empty(counts, str(folder), val_ratio, test_ratio)
    write_split(folder, Split(by=by, seed=seed, val_ratio=val_ratio, test_ratio=test_ratio, data=manifest.identity,
                              file_xxh3=digest(splits_T.tobytes()), counts=counts), splits_T)
    return SplitDone(counts, (folder / "split.json",))


def read_views(path: Path) -> pl.DataFrame:
    """A shard's trajectories: battle (hash), player_id, date, rows. Raises ShardError."""
    try:
        table = pl.read_ipc(path, columns=["replay_id", "original_id", "player_id", "date", "rows"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ShardError(f"{path}: cannot be read ({error})", hint=f"poke-bc verify {path.parent}") from None
    ids = table.select(pl.coalesce(pl.col("original_id").replace("", None), "replay_id")).to_series()
    battles = pl.Series("battle", [battle_hash(id_) for id_ in ids], dtype=pl.UInt64)
    return table.with_columns(battles).drop("replay_id", "original_id")


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


def count(views: pl.DataFrame, splits_T: NDArray[np.uint8], by: str) -> dict[str, dict[str, int]]:
    """Split -> battles, trajectories, decisions; "left_out" only in a split by player."""
    found = (views.with_columns(split=pl.Series(splits_T)).group_by("split")
             .agg(battles=pl.col("battle").n_unique(), trajectories=pl.len(), decisions=pl.col("rows").sum()))
    rows = {SPLIT_NAMES[row.pop("split")]: {key: int(value) for key, value in row.items()} for row in found.to_dicts()}
    nothing = {"battles": 0, "trajectories": 0, "decisions": 0}
    return {name: rows.get(name, dict(nothing)) for name in SPLIT_NAMES[: 4 if by == "player" else 3]}


def _refuse_empty(counts: dict[str, dict[str, int]], where: str, val_ratio: float, test_ratio: float) -> None:
    for name, ratio in (("train", 1.0), ("val", val_ratio), ("test", test_ratio)):
        if ratio > 0 and not counts[name]["decisions"]:
            battles = sum(each["battles"] for each in counts.values())
            raise UsageError(f"{where}: {name} would be empty ({battles:,} battles, --val-ratio {val_ratio:g})",
                             hint="raise the ratio, add battles, or try another --seed")


def split_file(path: Path, *, val_ratio: float = 0.1, test_ratio: float = 0.0, seed: int = 42,
               by: str = "battle") -> SplitDone:
    """Write each trajectory's line, unchanged, into the file of its split. Two passes; only the keys are in memory."""
    if str(path) == STDIN:
        raise UsageError("split reads the file twice, so it cannot be standard input", hint="give a file")
    check_readable(str(path))
    views, unreadable = _views_of_file(path)
    splits_T = assign(views, str(path), val_ratio=val_ratio, test_ratio=test_ratio, seed=seed, by=by)
    counts = count(views, splits_T, by)
    _refuse_empty(counts, str(path), val_ratio, test_ratio)
    targets = {place: path.with_name(f"{_stem(path)}.{SPLIT_NAMES[place]}.jsonl") for place in (TRAIN, VAL, TEST)}
    wanted = [place for place, ratio in ((TRAIN, 1.0), (VAL, val_ratio), (TEST, test_ratio)) if ratio > 0]
    with contextlib.ExitStack() as stack:
        files = {place: stack.enter_context(atomic_write(targets[place])) for place in wanted}
        for (line, _), place in zip(_readable(path), splits_T, strict=True):
            if place in files:
                files[place].write(line + b"\n")
    for place in targets.keys() - set(wanted):  # left by an earlier split; their battles are in other files now
        targets[place].unlink(missing_ok=True)
    return SplitDone(counts, tuple(targets[place] for place in wanted), unreadable)


def _stem(path: Path) -> str:
    """raw.jsonl.zst -> raw."""
    name = path.name
    for ending in (*COMPRESSION, ".jsonl", ".ndjson", ".json"):
        name = name.removesuffix(ending)
    return name


def _views_of_file(path: Path) -> tuple[pl.DataFrame, int]:
    skipped = [0]
    rows = [(battle_hash(value.get("original_id") or value["replay_id"]), value.get("player_id"), value.get("date"),
             len(value["steps"]))
            for _, value in _readable(path, skipped)]
    if skipped[0] > MAX_BAD * (len(rows) + skipped[0]):
        raise InputError(f"{path}: {skipped[0]:,} of {len(rows) + skipped[0]:,} lines are not trajectories",
                         hint=f"poke-bc preprocess {path} --max-bad 1 names each in quarantine.jsonl")
    if not rows:
        raise InputError(f"{path}: empty, not one trajectory", hint="one JSON object a line; see docs/format.md")
    return pl.DataFrame(rows, orient="row", schema={"battle": pl.UInt64, "player_id": pl.String, "date": pl.String,
                                                    "rows": pl.UInt32}), skipped[0]


def _readable(path: Path, skipped: list[int] | None = None) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """(line, trajectory) of every line with a replay_id and steps; counts the others in `skipped`."""
    try:
        with open_stream(str(path)) as (stream, _):
            for line in stream:
                line = line.removesuffix(b"\n")
                if value := _trajectory(line):
                    yield line, value
                elif line.strip() and skipped is not None:
                    skipped[0] += 1
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error})", hint="is the file complete?") from None


def _trajectory(line: bytes) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(line)
        keys = [value["replay_id"], *(value.get(name) or "" for name in ("original_id", "player_id", "date"))]
        "".join(keys).encode()  # fails where one is not text, or contains a lone surrogate
        return value if keys[0] and isinstance(value["steps"], list) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


