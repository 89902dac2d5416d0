"""Which files in the folder of a data set are poke-bc's own: only those are ever overwritten or removed.

    manifest.json       names the files of the data set
    quarantine.jsonl    consists of the entries that only a quarantine has
    .parts/shards.job   names the shards of an unfinished run, each before it appears, and those that it replaces
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from poke_bc.contract.errors import UsageError
from poke_bc.contract.files import digest_file, remove_temporaries
from poke_bc.contract.manifest import MANIFEST, recorded_files

QUARANTINE = "quarantine.jsonl"
_SHARD = r"shard-\d{5,}%s(\.trajectories)?\.arrow"
_NAME = re.compile(_SHARD % "-[0-9a-f]{8}")
_ELSEWHERE = "remove it or move it away, or choose another --out"


class OwnFiles:
    """The files of one folder, for the run that holds its store.

    Args:
        folder: folder of the data set.
        journal: file that records what an unfinished run writes.
    """

    def __init__(self, folder: Path, journal: Path) -> None:
        self.folder, self._journal = folder, journal
        self._replaced: set[str] = set()

    def check(self) -> None:
        """Raises UsageError where manifest.json or quarantine.jsonl is not poke-bc's."""
        self._replaced = recorded_files(self.folder) or set()
        path = self.folder / QUARANTINE
        if os.path.lexists(path) and not _is_quarantine(path):
            raise UsageError(f"{path}: not written by poke-bc preprocess, so it is not overwritten", hint=_ELSEWHERE)

    def claim(self, name: str, xxh3: str) -> Path:
        """The path for a new shard with this digest. Raises UsageError where there is a file of somebody else."""
        path = self.folder / name
        if name not in self._replaced and os.path.lexists(path) and digest_file(path) != xxh3:
            raise UsageError(f"{path}: not written by this poke-bc preprocess, so it is not overwritten",
                             hint=_ELSEWHERE)
        self._record([name])
        return path

    def replace_data_set(self) -> None:
        """Record the files of the data set that a new manifest is about to replace."""
        self._record(self._replaced)

    def sweep(self) -> None:
        """Remove temporary files, and recorded ones that the manifest does not list."""
        remove_temporaries(self.folder, "|".join(map(re.escape, (MANIFEST, QUARANTINE))) + "|" + _SHARD % "")
        if self._journal.exists() and (kept := recorded_files(self.folder)) is not None:
            for name in self._journal.read_text("utf-8", "replace").splitlines():
                if _NAME.fullmatch(name) and name not in kept:
                    (self.folder / name).unlink(missing_ok=True)
            self._journal.unlink()

    def _record(self, names: Iterable[str]) -> None:
        """Note shards that are not needed unless the manifest lists them."""
        with open(self._journal, "ab") as file:
            file.write("".join(f"{name}\n" for name in sorted(names)).encode())
            file.flush()
            os.fsync(file.fileno())


def _is_quarantine(path: Path) -> bool:
    """Whether the first line of a file is an entry of a quarantine."""
    try:
        with open(path, "rb") as file:
            entry = json.loads(file.readline(1 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(entry, dict) and entry.keys() >= {"file", "line", "path", "reason"}
