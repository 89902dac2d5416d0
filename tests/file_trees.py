"""What is in a folder."""

from __future__ import annotations

from pathlib import Path

from pipelines.jobs.store import PartStore
from pipelines.preprocess.parts import PreprocessReceipt
from pipelines.preprocess.preprocess_job import STORE


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file in it, by its path from there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def finished_parts(out: Path) -> dict[str, int]:
    """Parts of an unfinished preprocess that a rerun may keep: name -> when they were written, in ns."""
    store = PartStore(out / STORE, PreprocessReceipt)
    return {path.name: path.stat().st_mtime_ns for path in store.folder.glob("[0-9]*.part")
            if store.find(int(path.stem)) is not None}
