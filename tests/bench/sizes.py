"""Sizes of battles in the singles schema: log, JSONL, compressed JSONL, shard; and what a block leaves in memory."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipelines.jobs.store import PartStore
from pipelines.preprocess import preprocess
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
    yield line_of("memory of a block's receipt, kept until the end : the block", "B/block",
                  [_receipt_bytes(raw, folder)], [float(BLOCK_BYTES)], target="(none)")
    yield line_of("bytes of trajectories of a battle, both views : its log", "B/battle",
                  [raw.stat().st_size / count], [log / count], target="(none)")


def _receipt_bytes(raw: Path, folder: Path) -> float:
    """Bytes that each part keeps in memory until the end."""
    task = next(tasks_of([str(raw)], BLOCK_BYTES))
    (folder / "parts").mkdir()
    receipt, _ = DecodeJob(PartStore(folder / "parts", PreprocessReceipt), load_schema("singles")).run(0, task)
    pickled, copies = pickle.dumps(receipt), 200
    receipts = [pickle.loads(pickled) for _ in range(copies)]
    totals = Totals([str(raw)])
    tracemalloc.start()
    for receipt in receipts:
        totals.add(receipt)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / copies
