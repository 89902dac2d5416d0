"""verify: hash every file of a data set or run, and name what differs from what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.files import TEMPORARY, digest_file
from poke_bc.contract.manifest import MANIFEST, FileEntry, Manifest
from poke_bc.contract.split import PARTS_FILE, SPLIT, read_split

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Verified:
    """What was hashed, and what differs (one line each; empty when all is as promised)."""

    path: Path
    files: int
    bytes: int
    differences: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    """Files that nothing refers to; harmless."""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"path": str(self.path), "files": self.files, "bytes": self.bytes, "differences": self.differences,
                "leftovers": self.leftovers, "ok": not self.differences}


def verify(path: str | Path) -> Verified:
    """Hash a folder of shards, or a run with all its checkpoints.

    Raises ShardError for a manifest that is damaged itself or of another format, UsageError for another folder.
    """
    path = Path(path)
    if (path / MANIFEST).exists():
        return _verify_shards(path)
    if (path / CHECKPOINTS).is_dir():
        return _verify_run(path)
    raise UsageError(f"{path}: neither shards ({MANIFEST}) nor a run ({CHECKPOINTS}/)",
                     hint="give the folder that preprocess or train wrote")


def _verify_shards(folder: Path) -> Verified:
    manifest = Manifest.read(folder)
    entries = [entry for shard in manifest.shards for entry in (shard.rows, shard.trajectories)]
    differences = [problem for entry in entries for problem in _problems(folder, entry)]
    if (folder / SPLIT).exists():
        try:
            _, parts = read_split(folder, manifest.identity)
        except ShardError as error:
            differences.append(error.what)
        else:
            if len(parts) != manifest.counts.trajectories:
                differences.append(f"{folder / PARTS_FILE}: {len(parts)} trajectories, "
                                   f"the manifest has {manifest.counts.trajectories}")
    named = {entry.name for entry in entries}
    leftovers = sorted(str(path) for path in folder.iterdir() if path.name.startswith(TEMPORARY)
                       or (path.name.startswith("shard-") and path.name not in named))
    return Verified(folder, 1 + len(entries), sum(entry.bytes for entry in entries), differences, leftovers)


def _problems(folder: Path, entry: FileEntry) -> Iterator[str]:
    path = folder / entry.name
    if not path.is_file():
        yield f"{path}: missing"
    elif path.stat().st_size != entry.bytes:
        yield f"{path}: {path.stat().st_size} bytes, the manifest says {entry.bytes}"
    elif (found := digest_file(path)) != entry.xxh3:
        yield f"{path}: xxh3 {found}, the manifest says {entry.xxh3}"


def _verify_run(run: Path) -> Verified:
    from poke_bc.train.checkpoint import damage

    checkpoints = sorted(path for path in (run / CHECKPOINTS).iterdir() if not path.name.startswith(TEMPORARY))
    files = [path for checkpoint in checkpoints for path in checkpoint.rglob("*") if path.is_file()]
    leftovers = sorted(str(path) for path in (run / CHECKPOINTS).glob(f"{TEMPORARY}*"))
    return Verified(run, len(files), sum(path.stat().st_size for path in files),
                    [problem for checkpoint in checkpoints for problem in damage(checkpoint)], leftovers)
