"""Decisions among several moves, and guesses of the move from its slots: by rules, and by a network.

    N decisions   M the four move slots   E width of an embedding   T trajectories
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poke_bc.contract.actions import MOVE_SLOTS, NO_LABEL, TEAM_SLOTS, unpack_actions
from poke_bc.contract.errors import UsageError
from poke_bc.contract.manifest import MANIFEST
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.split import SPLIT, place_by_hash, read_split
from poke_bc.contract.vocabulary import NONE, UNKNOWN
from poke_bc.data.shards import Shards
from poke_bc.policy.inputs import PackedEmbedding

NEEDED = {"turn": 1, "own_active": TEAM_SLOTS, "own_moves": TEAM_SLOTS * MOVE_SLOTS,
          "own_pp_used": TEAM_SLOTS * MOVE_SLOTS}
"""Fields of the schema singles that the check reads, with their widths."""
_VAL_RATIO = 0.3  # for shards without a split
_TRAIN_ROWS = 100_000  # more do not change the result of such a small network
_EPOCHS, _BATCH, _LR = 3, 512, 5e-3
_EMBEDDING, _HIDDEN = 16, 64
_SLOTS = np.arange(MOVE_SLOTS)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SlotRows:
    """Decisions for one of several legal moves: what the active Pokémon's slots held, and which one was used."""

    move_NM: NDArray[np.uint16]
    legal_NM: NDArray[np.bool_]
    used_NM: NDArray[np.float32]
    """PP used so far."""
    action_N: NDArray[np.int64]
    battle_N: NDArray[np.uint64]
    key_N: NDArray[np.uint64]
    """Hash of (battle, player, turn)."""
    split_N: NDArray[np.uint8]

    def take(self, rows: NDArray[Any]) -> SlotRows:
        """The given rows, in the given order."""
        return SlotRows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.action_N)

    @property
    def known_NM(self) -> NDArray[np.bool_]:
        """Slots that hold a known move."""
        known_NM: NDArray[np.bool_] = (self.move_NM != UNKNOWN) & (self.move_NM != NONE)
        return known_NM


def read_slots(folder: str | Path, seed: int) -> tuple[Shards, SlotRows]:
    """The shards, and their observed choices among several legal moves. Raises UsageError and ShardError."""
    if not (Path(folder) / MANIFEST).is_file():
        raise UsageError(f"{folder}: no shards here, which the leak check needs",
                         hint="poke-bc preprocess RAW.jsonl")
    shards = Shards(folder)
    schema = shards.manifest.schema
    widths = {field.name: field.width for field in schema.fields if field.is_category == (field.name == "own_moves")}
    if any(widths.get(name) != width for name, width in NEEDED.items()):
        raise UsageError(f"{folder}: the leak check reads {', '.join(NEEDED)} of the schema singles, which "
                         f"{schema.name} does not have", hint="make the shards from the output of poke-bc convert")
    split_T = None
    if (shards.folder / SPLIT).exists():
        _, split_T = read_split(shards.folder, shards.manifest.identity)
    is_p2_T = np.array(shards.trajectories("player")) == "p2"
    found = [_slots_of(columns, schema, is_p2_T, split_T, seed) for columns in shards.each()]
    return shards, SlotRows(*(np.concatenate([getattr(each, field.name) for each in found])
                              for field in fields(SlotRows)))


def _slots_of(columns: dict[str, NDArray[Any]], schema: Schema, is_p2_T: NDArray[np.bool_],
              split_T: NDArray[np.uint8] | None, seed: int) -> SlotRows:
    """The decisions of one shard."""
    legal_NM = unpack_actions(columns["legal"])[:, :MOVE_SLOTS]
    action_N = columns["action"]

    def field(name: str) -> NDArray[Any]:
        return columns[CATEGORY_COLUMN if name == "own_moves" else NUMBER_COLUMN][:, schema.columns[name]]

    rows = np.flatnonzero((action_N != NO_LABEL) & (action_N < MOVE_SLOTS) & (legal_NM.sum(axis=1) > 1)
                          & (field("own_active").sum(axis=1) == 1))
    column_NM = field("own_active")[rows].argmax(axis=1)[:, None] * MOVE_SLOTS + _SLOTS
    battle_N, trajectory_N = columns["battle"][rows], columns["trajectory"][rows]
    moment_N = field("turn")[rows, 0].astype(np.uint64) * np.uint64(2) + is_p2_T[trajectory_N].astype(np.uint64)
    with np.errstate(over="ignore"):
        key_N = battle_N + moment_N * np.uint64(0x9E3779B97F4A7C15)  # odd, so near moments get distant keys
    return SlotRows(
        move_NM=np.take_along_axis(field("own_moves")[rows], column_NM, axis=1), legal_NM=legal_NM[rows],
        used_NM=np.take_along_axis(field("own_pp_used")[rows], column_NM, axis=1).astype(np.float32),
        action_N=action_N[rows].astype(np.int64), battle_N=battle_N, key_N=key_N,
        split_N=place_by_hash(battle_N, seed, _VAL_RATIO, 0.0) if split_T is None else split_T[trajectory_N],
    )


def guess(train: SlotRows, val: SlotRows, schema: Schema, seed: int) -> dict[str, Floats]:
    """Rule -> probability [N] that it names the move used, for each of the decisions `val`."""
    best_N = _choose_by_network(train, val, schema, seed)
    return rule_hits(val, np.bincount(train.action_N, minlength=MOVE_SLOTS)) | {
        "network that sees the slots alone": _probability(best_N[:, None] == _SLOTS, val)}


def rule_hits(rows: SlotRows, counts_M: NDArray[np.int64]) -> dict[str, Floats]:
    """Rule -> probability [N] that it names the move used.

    Args:
        rows: the decisions. Rules choose among the legal slots with a known move, or all legal ones if there is none.
        counts_M: how often each slot was used in other battles.
    """
    known_NM = rows.legal_NM & rows.known_NM
    open_NM = np.where(np.any(known_NM, axis=1, keepdims=True), known_NM, rows.legal_NM)
    used_NM = np.where(open_NM, rows.used_NM, -1)
    unused_NM = used_NM == 0
    next_N = np.where(unused_NM.any(axis=1), unused_NM.argmax(axis=1), used_NM.argmax(axis=1))
    frequent_N = np.where(rows.legal_NM, counts_M, -1).argmax(axis=1)
    return {
        "uniform over known own moves": _probability(open_NM, rows),
        "next unused slot, else most used": _probability(next_N[:, None] == _SLOTS, rows),
        "most used so far": _probability(used_NM == used_NM.max(axis=1, keepdims=True), rows),
        "most frequent slot": _probability(frequent_N[:, None] == _SLOTS, rows),
    }


def _probability(chosen_NM: NDArray[np.bool_], rows: SlotRows) -> Floats:
    """That a random one of the chosen slots holds the move used."""
    hit_N: Floats = chosen_NM[np.arange(len(rows)), rows.action_N] / chosen_NM.sum(axis=1)
    return hit_N


class SlotNetwork(nn.Module):
    """Ids of the four moves -> a score for each, from its embedding, the embeddings of all four, and its slot."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        moves = next(field for field in schema.fields if field.name == "own_moves")
        slots = Schema("slots", 1, (msgspec.structs.replace(moves, width=MOVE_SLOTS),),
                       {moves.vocab: schema.vocabularies[moves.vocab]})
        self.ids = PackedEmbedding(slots, _EMBEDDING)
        self.layers = nn.Sequential(nn.Linear(_EMBEDDING * (1 + MOVE_SLOTS) + MOVE_SLOTS, _HIDDEN), nn.GELU(),
                                    nn.Linear(_HIDDEN, 1))

    def forward(self, move_NM: Tensor, legal_NM: Tensor) -> Tensor:
        """Logits [N, M]; -inf where the move is not legal."""
        move_NME = self.ids(move_NM)
        all_NME = move_NME.flatten(1)[:, None].expand(-1, MOVE_SLOTS, -1)
        slot_NMM = torch.eye(MOVE_SLOTS).expand(len(move_NM), -1, -1)
        scores_NM = self.layers(torch.cat([move_NME, all_NME, slot_NMM], dim=2))[:, :, 0]
        logits_NM: Tensor = scores_NM.masked_fill(~legal_NM, -torch.inf)
        return logits_NM


def _choose_by_network(train: SlotRows, val: SlotRows, schema: Schema, seed: int) -> NDArray[np.int64]:
    """The slot [N] that a small network, trained for two seconds on `train`, finds most probable in `val`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one gains nothing here; on busy processors it took 25 times as long
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            move_NM, legal_NM, action_N = _tensors(train.take(torch.randperm(len(train))[:_TRAIN_ROWS].numpy()))
            network = SlotNetwork(schema)
            network.ids.note_seen([move_NM])
            optimizer = torch.optim.AdamW(network.parameters(), lr=_LR)
            for _ in range(_EPOCHS):
                for batch in torch.split(torch.randperm(len(action_N)), _BATCH):
                    loss = nn.functional.cross_entropy(network(move_NM[batch], legal_NM[batch]), action_N[batch])
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
        network.eval()
        with torch.inference_mode():
            chosen = [network(move_NM, legal_NM).argmax(dim=1) for move_NM, legal_NM in zip(
                *(torch.split(each, 65536) for each in _tensors(val)[:2]), strict=True)]
        return torch.cat(chosen).numpy()
    finally:
        torch.set_num_threads(threads)


def _tensors(rows: SlotRows) -> tuple[Tensor, Tensor, Tensor]:
    return (torch.from_numpy(rows.move_NM.astype(np.int64)), torch.from_numpy(rows.legal_NM),
            torch.from_numpy(rows.action_N))
