"""Battles with recorded requests as two data sets: as their players saw them, and as a spectator's log shows them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from pipelines.split import split

PLAYER, LOG = "player", "log"
HIDDEN: dict[str, dict[str, Any]] = {PLAYER: {}, LOG: {"p1": [], "p2": []}}
"""View -> what replaces parts of the record: the log tells no request and no choice."""


def make_shards(records: Sequence[Path], folder: Path, view: str, battles: int | None = None,
                **ratios: float) -> Path:
    """FOLDER/VIEW: shards of the battles, split by `ratios`; what is there is used again.

    Battles are split by their id, so both views of the same records are split alike.

    Args:
        records: files of battle records, as JSON lines under zstd.
        folder: is created.
        view: PLAYER or LOG.
        battles: about so many, spread evenly; None: all.
        ratios: of `split`, such as val_ratio=0.2.
    """
    shards = folder / view
    if (shards / "split.json").exists():
        return shards
    folder.mkdir(parents=True, exist_ok=True)
    step = max(sum(1 for _ in lines_of(*records)) // battles, 1) if battles else 1
    source, raw = folder / f"{view}.battles.jsonl", folder / f"{view}.jsonl.zst"
    with source.open("w", encoding="utf-8") as out:
        chosen = islice(lines_of(*records), 0, battles and step * battles, step)
        out.writelines(json.dumps(json.loads(line) | HIDDEN[view]) + "\n" for line in chosen)
    convert_battles([str(source)], raw, salt="views")
    preprocess([raw], shards)
    split(shards, **ratios)
    source.unlink()
    return shards


def lines_of(*records: Path) -> Iterator[bytes]:
    """The lines of files under zstd."""
    for each in records:
        with pa.input_stream(str(each), compression="zstd") as stream:
            yield from io.BufferedReader(stream)
