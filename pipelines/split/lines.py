"""Splits a JSONL file: each trajectory's line is copied, unchanged, into the part of its split.

Two passes; only what a split is made of is in memory, and one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from pipelines.jobs.inputs import check_readable
from pipelines.jobs.streams import BOM, Stream, open_stream
from pipelines.preprocess.battles_given import are_battles, battles_given
from pipelines.preprocess.beginnings import head_of, refuse_other_texts
from pipelines.preprocess.text_blocks import BLOCK_BYTES
from pipelines.split.assign import VIEWS, SplitDone, Way, split_views
from pipelines.split.choose import KNOWN, chosen
from pipelines.split.parts import Parts
from poke_bc.contract.errors import InputError
from poke_bc.contract.split import TRAIN
from poke_bc.contract.trajectory import TRAJECTORY_KEYS, battle_hash

MAX_BAD = 0.001
"""Largest fraction of the lines that may be unreadable; they go into no split."""


def split_lines(path: Path, way: Way) -> SplitDone:
    """Write the parts next to the file. Raises InputError, UsageError."""
    check_readable(str(path))
    refuse_other_texts(str(path), head_of(str(path)))
    wanted = [TRAIN, *(split for split, ratio in way.ratios.items() if ratio > 0)]
    parts = Parts(path)
    with parts.locked():
        parts.check(wanted)
        views, unreadable = _views_of(path, way)
        splits_T, counts = split_views(views, str(path), way)
        with parts.written(wanted) as files:
            for (line, _), split in zip(_readable(path), splits_T, strict=True):
                if split in files:
                    files[split].write(line + b"\n")
        return SplitDone(counts, parts.commit(wanted, way, counts), unreadable)


def _views_of(path: Path, way: Way) -> tuple[pl.DataFrame, int]:
    """The views of a file, as in VIEWS, and the number of unreadable lines."""
    skipped = [0]
    rows: list[tuple[Any, ...]] = []
    known: list[dict[str, Any]] = []
    for _, value in _readable(path, skipped):
        rows.append((battle_hash(value.get("original_id") or value["replay_id"]), value.get("player_id"),
                     value.get("date"), len(value["steps"]), True))
        if way.where:
            known.append({name: value.get(name) for name in TRAJECTORY_KEYS} | {"decisions": len(value["steps"])})
    if skipped[0] and not rows and are_battles(head_of(str(path))):
        raise battles_given(str(path))
    if skipped[0] > MAX_BAD * (len(rows) + skipped[0]):
        raise InputError(f"{path}: {skipped[0]:,} of {len(rows) + skipped[0]:,} lines are not trajectories",
                         hint=f"poke-bc preprocess {path} --max-bad 1 names each in quarantine.jsonl")
    if not rows:
        raise InputError(f"{path}: empty, not one trajectory", hint="one JSON object a line; see docs/format.md")
    views = pl.DataFrame(rows, orient="row", schema=VIEWS)
    if way.where:
        views = views.with_columns(chosen=chosen(pl.DataFrame(known, schema=KNOWN, strict=False), way.where))
    return views, skipped[0]


def _readable(path: Path, skipped: list[int] | None = None) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """(line, trajectory) of every line with a replay_id and steps; counts the others in `skipped`."""
    try:
        with open_stream(str(path)) as (stream, _):
            for line in _lines(stream):
                if line is not None and (value := _trajectory(line)) is not None:
                    yield line, value
                elif (line is None or line.strip()) and skipped is not None:
                    skipped[0] += 1
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error})", hint="is the file complete?") from None


def _lines(stream: Stream) -> Iterator[bytes | None]:
    """All lines; None for one that is too long for preprocess, so that memory stays bounded."""
    at_most = BLOCK_BYTES + 1
    line = stream.readline(at_most).removeprefix(BOM)
    while line:
        is_long = not line.endswith(b"\n") and len(line) > BLOCK_BYTES
        yield None if is_long else line.removesuffix(b"\n")
        while is_long and line and not line.endswith(b"\n"):
            line = stream.readline(at_most)
        line = stream.readline(at_most)


def _trajectory(line: bytes) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(line.decode())
        keys = [value["replay_id"], *(value.get(name) or "" for name in ("original_id", "player_id", "date"))]
        "".join(keys).encode()  # fails where one is not text, or contains a lone surrogate
        return value if keys[0] and isinstance(value["steps"], list) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
