"""verify: compare every file that a data set or a checkpoint lists with its recorded hash.

In a run, that is every file of every checkpoint, config.toml, result.json, and metrics.jsonl up to its last checkpoint.
quarantine.jsonl has no recorded hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.files import TEMPORARY, digest_file
from poke_bc.contract.manifest import MANIFEST, FileEntry, Manifest
from poke_bc.contract.split import SPLIT, SPLIT_FILE, read_split

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Verified:
    """What was hashed, and what does not match."""

    path: Path
    files: int
    bytes: int
    differences: list[str]
    """One line per file that is missing or changed."""
    leftovers: list[str]
    """Files that nothing refers to; harmless."""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return vars(self) | {"path": str(self.path), "ok": not self.differences}


def verify(path: str | Path) -> Verified:
    """Hash a folder of shards, a run with all its checkpoints, or one checkpoint.

    Raises ShardError if the manifest is damaged or of another format, UsageError for any other folder.
    """
    path = Path(path)
    if (path / MANIFEST).exists():
        return _verify_shards(path)
    if (path / CHECKPOINTS).is_dir():
        return _verify_run(path)
    if (path / "digests.json").is_file():
        return _verify_checkpoints(path, [path])
    raise UsageError(f"{path}: neither shards ({MANIFEST}) nor a run ({CHECKPOINTS}/)",
                     hint="give a folder that preprocess or train wrote")


def _verify_shards(folder: Path) -> Verified:
    manifest = Manifest.read(folder)
    entries = [entry for shard in manifest.shards for entry in (shard.rows, shard.trajectories)]
    differences = [problem for entry in entries for problem in _problems(folder, entry)]
    if (folder / SPLIT).exists():
        try:
            _, split_T = read_split(folder, manifest.identity)
        except ShardError as error:
            differences.append(error.what)
        else:
            if len(split_T) != manifest.counts.trajectories:
                differences.append(f"{folder / SPLIT_FILE}: {len(split_T)} trajectories, "
                                   f"the manifest has {manifest.counts.trajectories}")
    named = {entry.name for entry in entries}
    leftovers = sorted(str(path) for path in folder.iterdir() if path.name.startswith(TEMPORARY)
                       or (path.name.startswith("shard-") and path.name not in named))
    counted = 1 + len(entries) + 2 * (folder / SPLIT).exists()
    return Verified(folder, counted, sum(entry.bytes for entry in entries), differences, leftovers)


def _problems(folder: Path, entry: FileEntry) -> Iterator[str]:
    path = folder / entry.name
    if not path.is_file():
        yield f"{path}: missing"
    elif path.stat().st_size != entry.bytes:
        yield f"{path}: {path.stat().st_size} bytes, the manifest says {entry.bytes}"
    elif (found := digest_file(path)) != entry.xxh3:
        yield f"{path}: xxh3 {found}, the manifest says {entry.xxh3}"


def _verify_run(run: Path) -> Verified:
    from poke_bc.train.checkpoint import Checkpoints, damage, metrics_hold  # imports torch, which shards do not need
    from poke_bc.train.config import CONFIG_FILE, TrainConfig
    from poke_bc.train.result import RESULT_FILE, result_holds
    from poke_bc.train.trackers import METRICS_FILE

    checkpoints = [*Checkpoints(run).steps().values()]
    found = _verify_checkpoints(run, checkpoints)
    differences = [f"{run / link}: broken link" for link in ("last", "best")
                   if (run / link).is_symlink() and not (run / link).exists()]
    if not TrainConfig.is_intact(run):
        differences.append(f"{run / CONFIG_FILE}: missing, edited or damaged (its digest does not match)")
    if not result_holds(run):
        differences.append(f"{run / RESULT_FILE}: damaged, its digest does not match")
    if not all(metrics_hold(run, each) for each in checkpoints if not damage(each)):
        differences.append(f"{run / METRICS_FILE}: missing, edited or damaged (its digest does not match)")
    own = [path for name in (CONFIG_FILE, RESULT_FILE, METRICS_FILE) if (path := run / name).is_file()]
    others = sorted(str(path) for path in (run / CHECKPOINTS).iterdir() if path not in checkpoints)
    return Verified(run, found.files + len(own), found.bytes + sum(path.stat().st_size for path in own),
                    found.differences + differences, others)


def _verify_checkpoints(path: Path, checkpoints: list[Path]) -> Verified:
    from poke_bc.train.checkpoint import damage

    files = [path for checkpoint in checkpoints for path in checkpoint.rglob("*") if path.is_file()]
    return Verified(path, len(files), sum(file.stat().st_size for file in files),
                    [problem for checkpoint in checkpoints for problem in damage(checkpoint)], [])
