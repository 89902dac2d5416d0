"""Bytes of battles in the singles schema: log, JSONL, packed JSONL, shard; and what a block leaves in memory."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipelines.blocks import BLOCK_BYTES, blocks_of
from pipelines.ledger import Ledger
from pipelines.part import PartStore
from pipelines.preprocess import preprocess
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
                  target="< 1024 B/decision")
    yield line_of("memory of a block's receipt, kept until the end : the block", "B/block",
                  [_receipt_bytes(raw, folder)], [float(BLOCK_BYTES)], target="(none)")
    yield line_of("bytes of trajectories of a battle, both views : of its log", "B/battle",
                  [raw.stat().st_size / count], [log / count], target="(none)")


def _receipt_bytes(raw: Path, folder: Path) -> float:
    """What the ledger keeps in memory of every block, and of the digest that comes with it from a worker."""
    block = next(blocks_of(0, str(raw)))
    (folder / "parts").mkdir()
    receipt, _ = PartStore(folder / "parts", load_schema("singles")).do(0, block)
    pickled, copies = pickle.dumps(receipt), 200
    receipts = [pickle.loads(pickled) for _ in range(copies)]
    ledger = Ledger([str(raw)])
    tracemalloc.start()
    for receipt in receipts:
        ledger.add(receipt)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / copies + sys.getsizeof(receipts[0].text_xxh3)
