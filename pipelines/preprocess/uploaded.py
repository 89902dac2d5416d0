"""Data sets under URLs: built in a local folder, then uploaded with manifest.json last.

Whoever reads it sees the data set that was there before, or the new one: names of shards contain their digests.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.jobs.urls import built_locally, fetch, remove, upload
from pipelines.preprocess.own_files import QUARANTINE
from poke_bc.contract.manifest import MANIFEST, recorded_files


@contextlib.contextmanager
def uploaded(url: str, work: Path | None) -> Iterator[Path]:
    """A local folder for a data set, which is uploaded at the end of the block; then the files of the one before it are
    removed. Raises UsageError where manifest.json is not poke-bc's."""
    url = url.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="poke-bc-") as before:
        fetch(f"{url}/{MANIFEST}", Path(before) / MANIFEST)
        replaced = recorded_files(Path(before)) or set()
    with built_locally(url, work) as folder:
        yield folder
        shards = recorded_files(folder) or set()
        quarantine = [QUARANTINE] * (folder / QUARANTINE).exists()
        upload(folder, [*sorted(shards), *quarantine, MANIFEST], url)
        remove(url, sorted(replaced - shards))
        if replaced and not quarantine:
            remove(url, [QUARANTINE])
