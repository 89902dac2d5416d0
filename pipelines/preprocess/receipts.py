"""Receipts of the parts of preprocess: what a part was made from, and what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from pipelines.preprocess.tally import Tally
from poke_bc.contract.files import digest


class BlockReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """One block of a part."""

    byte: int | None
    """Offset of the block in its input; None for tables."""
    size: int
    lines: int
    xxh3: str
    """Digest of the block's input."""
    rows: int
    trajectories: int
    table_bytes: int
    bad_bytes: int


class PreprocessReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A part of preprocess."""

    source: int
    """Index of the input."""
    index: int
    """Index of the first block within the input."""
    blocks: tuple[BlockReceipt, ...]
    tally: Tally

    @property
    def trajectories(self) -> int:
        """Number of trajectories in all blocks."""
        return self.tally.trajectories

    @property
    def key(self) -> str:
        """What it was made from, whatever input that is in."""
        return _key((block.byte, block.lines, block.xxh3) for block in self.blocks)


class BlockContent(Protocol):
    """What a block holds, before it is decoded."""

    @property
    def byte(self) -> int | None:
        """As in BlockReceipt."""

    @property
    def lines(self) -> int:
        """As in BlockReceipt."""

    @property
    def digest(self) -> str:
        """BlockReceipt.xxh3."""


def key_of(blocks: Iterable[BlockContent]) -> str:
    """PreprocessReceipt.key of a part that is made from this."""
    return _key((block.byte, block.lines, block.digest) for block in blocks)


def _key(blocks: Iterable[tuple[int | None, int, str]]) -> str:
    return digest(repr([*blocks]).encode())
