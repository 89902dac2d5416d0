"""Sizes of battles in the singles schema: log, JSONL, compressed JSONL, shard, memos; and what stays in memory.

None of it depends on how busy the machine is.
"""

from __future__ import annotations

import os
import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.convert.copies import Copies, Identity
from pipelines.convert.earlier import EarlierWriter as MemoOfConvert
from pipelines.convert.earlier import memo_path
from pipelines.jobs.store import PartStore
from pipelines.preprocess import preprocess
from pipelines.preprocess.earlier import NAME, EarlierWriter
from pipelines.preprocess.parts import DecodeJob, PreprocessReceipt
from pipelines.preprocess.tasks import tasks_of
from pipelines.preprocess.text_blocks import BLOCK_BYTES
from pipelines.preprocess.totals import Totals
from poke_bc.contract.schema import load_schema
from tests.bench.common import Line, converted_battles, line_of, sized


def run(folder: Path) -> Iterator[Line]:
    raw, count, decisions = converted_battles(folder, sized(400))
    packed = folder / "packed.jsonl.zst"
    with pa.CompressedOutputStream(str(packed), "zstd") as file:
        file.write(raw.read_bytes())
    shards = preprocess([raw], folder / "shards", workers=1).to_dict()
    log = (folder / "battles.jsonl").stat().st_size
    as_text = [raw.stat().st_size / decisions]
    yield line_of("bytes of trajectories, .jsonl.zst : .jsonl", "B/decision", [packed.stat().st_size / decisions],
                  as_text, target="(none)")
    yield line_of("bytes of rows in the shard : .jsonl", "B/decision", [shards["bytes"] / decisions], as_text,
                  target="< 1060 B/decision")
    for what, memo in (("convert", memo_path(raw)), ("preprocess", folder / "shards" / NAME)):
        yield line_of(f"bytes of {what}'s memo : .jsonl", "B/decision", [memo.stat().st_size / decisions], as_text,
                      target="(none)")
    yield line_of("memory of preprocess for a part, kept until the end : a block", "B/part",
                  [_part_bytes(raw, folder)], [float(BLOCK_BYTES)], target="(none)")
    yield line_of("memory of convert for a battle, kept until the end : its log", "B/battle", [_battle_bytes()],
                  [log / count], target="(none)")
    yield line_of("bytes of trajectories of a battle, both views : its log", "B/battle",
                  [raw.stat().st_size / count], [log / count], target="(none)")


def _part_bytes(raw: Path, folder: Path) -> float:
    """Bytes that each part keeps in memory until the end."""
    task = next(tasks_of([str(raw)], BLOCK_BYTES))
    (folder / "parts").mkdir()
    receipt = DecodeJob(PartStore(folder / "parts", PreprocessReceipt), load_schema("singles")).run(0, task).receipt
    pickled, copies = pickle.dumps(receipt), 200
    receipts = [pickle.loads(pickled) for _ in range(copies)]
    totals = Totals([str(raw)])
    with open(os.devnull, "wb") as file:
        memo = EarlierWriter(file, {})
        tracemalloc.start()
        for receipt in receipts:
            memo.add(receipt, iter(()), totals.add(receipt), 0)
        size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / copies


def _battle_bytes(battles: int = 20_000) -> float:
    """Bytes that each battle keeps in memory until the end: what finds other records of it, and where the memo is."""
    hashes = np.random.default_rng(0).integers(0, 1 << 63, (battles // 128, 128, 4), dtype=np.uint64)
    with open(os.devnull, "wb") as file:
        tracemalloc.start()
        copies, memo = Copies(), MemoOfConvert(file, {})
        for number, task in enumerate(hashes):
            memo.add_reports(task[:, 0].tolist(), b"")
            for place, (_, *identity) in enumerate(task.tolist()):
                copies.choose(Identity(*identity), (number, place))
        size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / hashes[..., 0].size
