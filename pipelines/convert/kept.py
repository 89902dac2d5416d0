"""What the first pass keeps of a task's battles for the second: NUMBER-DIGEST.battles in the store.

It is pickled, so only the run that made it reads it, and only if it matches the digest that the run recorded. A task
that runs twice may pickle the same battles to other bytes, so the digest is in the name too.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.records import read_battle
from pipelines.jobs.store import PartStore
from poke_bc.contract.errors import ShardError
from poke_bc.showdown.record import BattleRecord

_SUFFIX = ".battles"
_OPEN_TASKS = 3  # a task's own battles, and those of two tasks with other records of them


def kept_path(store: PartStore[Any], number: int, fingerprint: str) -> Path:
    """The file with the battles of a task."""
    return store.path(number, f"-{fingerprint[:16]}{_SUFFIX}")


def reports_path(store: PartStore[Any], number: int) -> Path:
    """The file with what the first pass found in a task, for OUT.memo (earlier.py)."""
    return store.path(number, ".reports")


def keep(store: PartStore[Any], number: int, battles: Sequence[bytes]) -> str:
    """Keep the battles of a task: each pickled as (record, result of the first pass), or with nothing done yet as
    (raw battle, None), or empty. Returns the digest."""
    packed = pa.compress(pickle.dumps(battles, protocol=5), "zstd", asbytes=True)
    fingerprint = _fingerprint(packed)
    with store.replaced(kept_path(store, number, fingerprint)) as file:
        file.write(packed)
    return fingerprint


class KeptBattles:
    """Reads what was kept."""

    def __init__(self, store: PartStore[Any], pseudonyms: Pseudonyms) -> None:
        self._store, self._pseudonyms = store, pseudonyms
        self._open: dict[int, list[bytes]] = {}

    def read(self, number: int, fingerprint: str, place: int) -> tuple[BattleRecord, Any]:
        """A battle's record, and the result of its first pass if done. Raises ShardError if the file was damaged."""
        record, first = self._entry(number, fingerprint, place)
        return (read_battle(record, self._pseudonyms) if isinstance(record, RawBattle) else record), first

    def source(self, number: int, fingerprint: str, place: int) -> str:
        """Where a battle was read, for messages."""
        record, _ = self._entry(number, fingerprint, place)
        return record.place if isinstance(record, RawBattle) else record.source

    def _entry(self, number: int, fingerprint: str, place: int) -> tuple[BattleRecord | RawBattle, Any]:
        if number not in self._open:
            if len(self._open) == _OPEN_TASKS:
                del self._open[next(iter(self._open))]
            self._open[number] = self._battles(number, fingerprint)
        entry: tuple[BattleRecord | RawBattle, Any] = pickle.loads(self._open[number][place])
        return entry

    def _battles(self, number: int, fingerprint: str) -> list[bytes]:
        path = kept_path(self._store, number, fingerprint)
        packed = path.read_bytes()
        if _fingerprint(packed) != fingerprint:
            raise ShardError(f"{path}: damaged during this run", hint="run the same command again")
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            battles: list[bytes] = pickle.loads(stream.read())
        return battles


def _fingerprint(data: bytes) -> str:
    """A cryptographic digest, since data that matches it is unpickled."""
    return blake2b(data, digest_size=32).hexdigest()
