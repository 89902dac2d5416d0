"""An epoch of many rows: each is fed once, memory stays flat, and any position is a place to go on from."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sparse_shards import row_numbers, sizes, write_sparse_shards

from poke_bc import BatchFeeder, ShardDataset
from poke_bc.contract.manifest import Manifest

BATCH = 4096
SEED = 3
MEMORY = 32 << 20
"""Bytes by which memory may grow after the first tenth of the epoch."""
STATE = 64
"""Bytes in which all that a run must remember of its order fits."""


def own_memory() -> int:
    """Memory of this process without the pages of mapped files, in bytes."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


@pytest.fixture(scope="module", params=[1_000_000, pytest.param(100_000_000, marks=pytest.mark.soak)])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Shards of so many rows."""
    path = write_sparse_shards(tmp_path_factory.mktemp("sparse") / "shards", request.param)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("window", [None, 1 << 20], ids=["shuffled as a whole", "in windows"])
def test_every_row_is_fed_once_and_any_position_is_resumed(
    window: int | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, on_disk = sizes(folder)
    assert on_disk < whole / 2
    began = time.perf_counter()
    monkeypatch.setattr("poke_bc.data.shards.memory_bytes", lambda: 0)  # too little to hold the rows: they stay mapped
    data = ShardDataset(folder, columns=("category", "action"))
    opened, rows = time.perf_counter(), len(data)
    assert rows == Manifest.read(folder).counts.decisions
    marks = {position - position % BATCH: np.empty(0) for position in np.linspace(0, rows - 1, 9, dtype=int).tolist()}
    seen, memory = np.zeros(rows, np.uint8), []
    with BatchFeeder(data, BATCH, seed=SEED, stop=rows, window=window) as feeder:
        start = 0
        for batch in feeder:
            row_B = row_numbers(batch.category.numpy())
            seen[row_B] += 1
            if start in marks:
                marks[start] = row_B
            if (start // BATCH) % max(1, rows // BATCH // 20) == 0:
                memory.append(own_memory())
            start = batch.position
    fed = time.perf_counter()
    assert (seen == 1).all()
    assert max(memory) - memory[len(memory) // 10] < MEMORY

    resumed = []
    for position, expected_B in marks.items():
        state = json.dumps({"seed": SEED, "position": position}).encode()
        assert len(state) < STATE
        again = time.perf_counter()
        with BatchFeeder(data, BATCH, seed=SEED, start=json.loads(state)["position"], stop=rows,
                         window=window) as feeder:
            assert (row_numbers(next(feeder).category.numpy()) == expected_B).all()
        resumed.append(time.perf_counter() - again)
    print(f"\n{rows:,} rows, {whole / 1e9:.2f} GB, {on_disk / 1e9:.2f} on disk: opened in {opened - began:.1f} s, "
          f"fed in {fed - opened:.1f} s ({rows / (fed - opened):,.0f} rows/s), "
          f"resumed in {min(resumed):.3f} to {max(resumed):.3f} s, order state {len(state)} bytes, memory "
          f"{memory[0] / 1e6:.0f} to {max(memory) / 1e6:.0f} MB")
