"""What is in a folder."""

from __future__ import annotations

from pathlib import Path

from pipelines.part import ENDING, read_receipt
from pipelines.preprocess import PARTS


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file in it, by its path from there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def finished_parts(out: Path) -> dict[str, int]:
    """Parts of an unfinished preprocess that a rerun may keep: name -> when they were written, in ns."""
    return {path.name: path.stat().st_mtime_ns for path in (out / PARTS).glob(f"*{ENDING}")
            if read_receipt(path) is not None}
