"""Splits shards or a JSONL file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.jobs.inputs import STDIN
from pipelines.preprocess.parquet_blocks import is_parquet
from pipelines.split.assign import SplitDone, Way
from pipelines.split.lines import split_lines
from pipelines.split.parts import recorded_way
from pipelines.split.shards import split_shards
from poke_bc.contract.errors import UsageError


def split(path: str | Path, *, val_ratio: float | None = None, test_ratio: float | None = None,
          seed: int | None = None, by: str | None = None, where: str | None = None) -> SplitDone:
    """Split shards (a folder) or a JSONL file.

    With no option at all, it is split as it was the last time, so that a data set that has grown keeps the split of the
    battles that were there (by date it does not: the latest are another tenth then). Otherwise what is not given is as
    in `Way`: by battle, a tenth for val, none for test, seed 42.

    Args:
        path: a folder of shards, which gets a split.json next to its manifest; or a JSONL file (.gz, .zst too), next to
            which FILE.train.jsonl, FILE.val.jsonl and, with a test ratio, FILE.test.jsonl are written.
        val_ratio, test_ratio: expected fraction of the battles, at least 0, together below 1.
        seed: seed of the hash.
        by: "battle", "player" or "date".
        where: only trajectories for which this condition holds take part, such as "rating >= 1500"; empty: all.

    Killed at any moment, it leaves the earlier split or the new one. Raises UsageError, ShardError, InputError.
    """
    path = Path(path)
    options: dict[str, Any] = {"by": by, "seed": seed, "val_ratio": val_ratio, "test_ratio": test_ratio, "where": where}
    given = {name: value for name, value in options.items() if value is not None}
    earlier = None if given else recorded_way(path)
    done = _split(path, earlier or Way(**given))
    return replace(done, as_before=earlier)


def _split(path: Path, way: Way) -> SplitDone:
    if path.is_dir():
        return split_shards(path, way)
    if not path.exists() and str(path) != STDIN:
        raise UsageError(f"{path}: no such folder or file", hint="poke-bc preprocess RAW.jsonl makes data/shards")
    if not path.is_file():
        raise UsageError(f"{'standard input' if str(path) == STDIN else path}: not a regular file, and split reads "
                         "its input twice", hint="write it to a file first, or preprocess it and split the shards")
    if is_parquet(str(path)):
        raise UsageError(f"{path}: split copies lines of JSONL files, and this one is Parquet",
                         hint=f"poke-bc preprocess {path} --out data/shards, then split the shards")
    return split_lines(path, way)
