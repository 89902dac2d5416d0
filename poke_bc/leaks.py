"""The leak check: do the own move slots betray which moves are used later?

A replay shows the moves that were used; convert fills the other own slots. Where the filling can be told from the
truth, a policy learns hindsight: it looks brilliant on such data and fails in play, where all four moves are known.
Rules that a child could play by, and a network that sees nothing but the four slots, tell: they must do no better than
on the same battles converted with the requests of their players, where nothing is filled.

    N decisions   M the four move slots   E width of an embedding   T trajectories
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from poke_bc.contract.split import SPLIT, TRAIN, VAL, place_by_hash, read_split
from poke_bc.contract.vocabulary import NONE, UNKNOWN
from poke_bc.data.shards import Shards
from poke_bc.policy.inputs import PackedEmbedding

if TYPE_CHECKING:
    from rich.console import RenderableType

NEEDED = {"turn": 1, "own_active": TEAM_SLOTS, "own_moves": TEAM_SLOTS * MOVE_SLOTS,
          "own_pp_used": TEAM_SLOTS * MOVE_SLOTS}
"""Fields that the check reads, with their widths; of the schema singles."""
SUSPICIOUS_POINTS = 0.02
SUSPICIOUS_ERRORS = 3.0
_VAL_RATIO = 0.3  # of shards without a split
_TRAIN_ROWS = 100_000  # more do not change what so small a network finds
_EPOCHS, _BATCH, _LR = 3, 512, 5e-3
_EMBEDDING, _HIDDEN = 16, 64
_SLOTS = np.arange(MOVE_SLOTS)
HOW_TO_READ = ("To be read beside the same battles converted with their players' requests (--against SHARDS): what is "
               "clearly better here than there comes from how the slots were filled, not from the battle.")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SlotRows:
    """Decisions for a move among several: what the four slots of the active Pokémon held, and which was taken."""

    move_NM: NDArray[np.uint16]
    legal_NM: NDArray[np.bool_]
    used_NM: NDArray[np.float32]
    """PP used so far."""
    action_N: NDArray[np.int64]
    battle_N: NDArray[np.uint64]
    key_N: NDArray[np.uint64]
    """Stands for (battle, player, turn)."""
    part_N: NDArray[np.uint8]

    def take(self, rows: NDArray[Any]) -> SlotRows:
        """Some of them, in the order given."""
        return SlotRows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.action_N)


@dataclass(frozen=True)
class Check:
    """How often one rule names the move that was taken."""

    check: str
    accuracy: float
    decisions: int
    against: float | None = None
    """Accuracy on the other shards."""
    against_decisions: int | None = None
    difference: float | None = None
    standard_error: float | None = None
    """Of the difference, with whole battles as the unit."""

    @property
    def is_suspicious(self) -> bool:
        """Better than on the other shards by more than chance and more than a trifle."""
        return (self.difference is not None and self.standard_error is not None
                and self.difference > max(SUSPICIOUS_POINTS, SUSPICIOUS_ERRORS * self.standard_error))


@dataclass(frozen=True)
class LeakReport:
    """What `inspect --leaks` says."""

    path: str
    against: str | None
    battles: int
    """Whose decisions are judged: the validation part, or a part of our own where there is no split."""
    all_known: float
    """Share of these decisions in which all four slots hold a known move."""
    same_decisions: bool
    """Both columns are about the same decisions; else each is about its own shards."""
    checks: list[Check]
    suspected: list[str]
    """Checks that are better than on the other shards by more than 2 points and 3 standard errors."""
    verdict: str | None
    """None where there is nothing to compare with."""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def check_leaks(folder: str | Path, against: str | Path | None = None, *, seed: int = 0) -> LeakReport:
    """Judge the move slots of some shards, alone or against others.

    Args:
        folder: shards of the schema singles, or of another one with the fields in NEEDED.
        against: shards of battles converted with requests, best of the same battles: then only decisions that both
            have are judged, in the first one's validation part.
        seed: of the network, and of the split where there is none.

    Raises UsageError where fields, masks or decisions are missing, and ShardError.
    """
    here = read_slots(folder, seed)
    there = None if against is None else read_slots(against, seed)
    paired = there is not None and _share_decisions(here, there)
    if there is not None and paired:
        _, at, at_there = np.intersect1d(here.key_N, there.key_N, return_indices=True)
        here = here.take(at)
        there = replace(there.take(at_there), part_N=here.part_N)
    hits, battle_N = _judge(here, folder, seed)
    if there is None or against is None:
        checks = [Check(name, float(hit_N.mean()), len(hit_N)) for name, hit_N in hits.items()]
    else:
        hits_there, battle_there_N = _judge(there, against, seed)
        checks = [_compare(name, hits[name], battle_N, hits_there[name], battle_there_N) for name in hits]
    return LeakReport(
        path=str(folder), against=None if against is None else str(against), battles=len(np.unique(battle_N)),
        all_known=float(_known(here.take(here.part_N == VAL)).all(axis=1).mean()), same_decisions=paired,
        checks=checks, suspected=[each.check for each in checks if each.is_suspicious],
        verdict=None if against is None else _verdict(checks),
    )


def read_slots(folder: str | Path, seed: int) -> SlotRows:
    """Every observed decision for one of several legal moves. Raises UsageError and ShardError."""
    if not (Path(folder) / MANIFEST).is_file():
        raise UsageError(f"{folder}: no shards, and the leak check reads shards", hint="poke-bc preprocess RAW.jsonl")
    shards = Shards(folder)
    _check_fields(shards)
    parts_T = None
    if (shards.folder / SPLIT).exists():
        _, parts_T = read_split(shards.folder, shards.manifest.identity)
    is_p2_T = np.array(shards.trajectories("player")) == "p2"
    pieces = [_slots_of(columns, shards.manifest.schema, is_p2_T, parts_T, seed) for columns in shards.each()]
    return SlotRows(*(np.concatenate([getattr(piece, field.name) for piece in pieces]) for field in fields(SlotRows)))


def _check_fields(shards: Shards) -> None:
    schema = shards.manifest.schema
    widths = {field.name: field.width for field in schema.fields if field.is_category == (field.name == "own_moves")}
    missing = [name for name, width in NEEDED.items() if widths.get(name) != width]
    if missing:
        raise UsageError(f"{shards.folder}: the leak check reads {', '.join(missing)} of the schema singles, and "
                         f"{schema.name} has no such fields", hint="make the shards from what poke-bc convert writes")


def _slots_of(columns: dict[str, NDArray[Any]], schema: Schema, is_p2_T: NDArray[np.bool_],
              parts_T: NDArray[np.uint8] | None, seed: int) -> SlotRows:
    """The decisions of one shard. Only those of phase "turn" can be for a move."""
    legal_NM = unpack_actions(columns["legal"])[:, :MOVE_SLOTS]
    action_N = columns["action"]

    def field(name: str) -> NDArray[Any]:
        return columns[CATEGORY_COLUMN if name == "own_moves" else NUMBER_COLUMN][:, schema.columns[name]]

    rows = np.flatnonzero((action_N != NO_LABEL) & (action_N < MOVE_SLOTS) & (legal_NM.sum(axis=1) > 1)
                          & (field("own_active").sum(axis=1) == 1))
    place_NM = field("own_active")[rows].argmax(axis=1)[:, None] * MOVE_SLOTS + _SLOTS
    battle_N, trajectory_N = columns["battle"][rows], columns["trajectory"][rows]
    moment_N = field("turn")[rows, 0].astype(np.uint64) * np.uint64(2) + is_p2_T[trajectory_N].astype(np.uint64)
    with np.errstate(over="ignore"):
        key_N = battle_N + moment_N * np.uint64(0x9E3779B97F4A7C15)  # an odd number: far apart for near moments
    return SlotRows(
        move_NM=np.take_along_axis(field("own_moves")[rows], place_NM, axis=1), legal_NM=legal_NM[rows],
        used_NM=np.take_along_axis(field("own_pp_used")[rows], place_NM, axis=1).astype(np.float32),
        action_N=action_N[rows].astype(np.int64), battle_N=battle_N, key_N=key_N,
        part_N=place_by_hash(battle_N, seed, _VAL_RATIO, 0.0) if parts_T is None else parts_T[trajectory_N],
    )


def _share_decisions(here: SlotRows, there: SlotRows) -> bool:
    """Whether both are about the same battles: at least half of the smaller one's decisions are in the other."""
    return 2 * len(np.intersect1d(here.key_N, there.key_N)) >= min(len(here), len(there))


# --- the checks ---------------------------------------------------------------------------------------------------


def _judge(rows: SlotRows, folder: str | Path, seed: int) -> tuple[dict[str, Floats], NDArray[np.uint64]]:
    """Check -> chance [N] that it names the move taken, for each validation decision; and their battles [N]."""
    train, judged = rows.take(rows.part_N == TRAIN), rows.take(rows.part_N == VAL)
    for part, name in ((train, "train"), (judged, "val")):
        if not len(part):
            raise UsageError(f"{folder}: no observed choice among several moves in the {name} part",
                             hint="the check needs a few hundred battles with legal masks; see poke-bc split --help")
    hits = rule_hits(judged, np.bincount(train.action_N, minlength=MOVE_SLOTS))
    with _one_thread():
        best_N = train_on_slots(train, Shards(folder).manifest.schema, seed).choose(judged)
    return hits | {"network that sees the slots alone": _chance(best_N[:, None] == _SLOTS, judged)}, judged.battle_N


def rule_hits(rows: SlotRows, counts_M: NDArray[np.int64]) -> dict[str, Floats]:
    """Rule -> chance [N] that it names the move taken.

    Args:
        rows: the decisions; of the legal slots those count that hold a known move, or all where none does.
        counts_M: how often each slot was taken in other battles.
    """
    known_NM = rows.legal_NM & _known(rows)
    open_NM = np.where(np.any(known_NM, axis=1, keepdims=True), known_NM, rows.legal_NM)
    used_NM = np.where(open_NM, rows.used_NM, -1)
    unused_NM = used_NM == 0
    next_N = np.where(unused_NM.any(axis=1), unused_NM.argmax(axis=1), used_NM.argmax(axis=1))
    frequent_N = np.where(rows.legal_NM, counts_M, -1).argmax(axis=1)
    return {
        "uniform over known own moves": _chance(open_NM, rows),
        "next unused slot, else most used": _chance(next_N[:, None] == _SLOTS, rows),
        "most used so far": _chance(used_NM == used_NM.max(axis=1, keepdims=True), rows),
        "most frequent slot": _chance(frequent_N[:, None] == _SLOTS, rows),
    }


def _known(rows: SlotRows) -> NDArray[np.bool_]:
    known_NM: NDArray[np.bool_] = (rows.move_NM != UNKNOWN) & (rows.move_NM != NONE)
    return known_NM


def _chance(chosen_NM: NDArray[np.bool_], rows: SlotRows) -> Floats:
    """Of naming the move taken with one of the chosen slots at random."""
    hit_N: Floats = chosen_NM[np.arange(len(rows)), rows.action_N] / chosen_NM.sum(axis=1)
    return hit_N


class SlotNetwork(nn.Module):
    """Ids of the four moves -> a score for each, from its own embedding, those of all four, and its place."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        moves = next(field for field in schema.fields if field.name == "own_moves")
        slots = Schema("slots", 1, (msgspec.structs.replace(moves, width=MOVE_SLOTS),), {moves.vocab: schema.vocabularies[moves.vocab]})
        self.ids = PackedEmbedding(slots, _EMBEDDING)
        self.layers = nn.Sequential(nn.Linear(_EMBEDDING * (1 + MOVE_SLOTS) + MOVE_SLOTS, _HIDDEN), nn.GELU(),
                                    nn.Linear(_HIDDEN, 1))

    def forward(self, move_NM: Tensor, legal_NM: Tensor) -> Tensor:
        """Logits [N, M]; -inf where the move is not legal."""
        move_NME = self.ids(move_NM)
        all_NME = move_NME.flatten(1)[:, None].expand(-1, MOVE_SLOTS, -1)
        place_NMM = torch.eye(MOVE_SLOTS).expand(len(move_NM), -1, -1)
        scores_NM = self.layers(torch.cat([move_NME, all_NME, place_NMM], dim=2))[:, :, 0]
        logits_NM: Tensor = scores_NM.masked_fill(~legal_NM, -torch.inf)
        return logits_NM

    @torch.inference_mode()
    def choose(self, rows: SlotRows) -> NDArray[np.int64]:
        """The slot it finds most likely [N]."""
        pieces = [self(*_tensors(rows.take(np.arange(start, min(start + 65536, len(rows)))))[:2]).argmax(dim=1)
                  for start in range(0, len(rows), 65536)]
        return torch.cat(pieces).numpy()


def train_on_slots(rows: SlotRows, schema: Schema, seed: int) -> SlotNetwork:
    """A few epochs over at most 100,000 of these decisions: two seconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        move_NM, legal_NM, action_N = _tensors(rows.take(torch.randperm(len(rows))[:_TRAIN_ROWS].numpy()))
        network = SlotNetwork(schema)
        network.ids.note_seen([move_NM])
        optimizer = torch.optim.AdamW(network.parameters(), lr=_LR)
        for _ in range(_EPOCHS):
            for batch in torch.split(torch.randperm(len(action_N)), _BATCH):
                loss = nn.functional.cross_entropy(network(move_NM[batch], legal_NM[batch]), action_N[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return network.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """So small a network gains nothing from a second one; with two, on processors that others use, it took 25x longer.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _tensors(rows: SlotRows) -> tuple[Tensor, Tensor, Tensor]:
    return (torch.from_numpy(rows.move_NM.astype(np.int64)), torch.from_numpy(rows.legal_NM),
            torch.from_numpy(rows.action_N))


# --- two columns --------------------------------------------------------------------------------------------------


def _compare(name: str, hit_N: Floats, battle_N: NDArray[np.uint64], other_hit_N: Floats,
             other_battle_N: NDArray[np.uint64]) -> Check:
    """Decisions of one battle are no independent draws: each battle is one, and the same one in both columns."""
    battles, place = np.unique(np.concatenate([battle_N, other_battle_N]), return_inverse=True)
    pull = np.bincount(place[: len(battle_N)], (hit_N - hit_N.mean()) / len(hit_N), len(battles))
    pull -= np.bincount(place[len(battle_N):], (other_hit_N - other_hit_N.mean()) / len(other_hit_N), len(battles))
    return Check(name, float(hit_N.mean()), len(hit_N), float(other_hit_N.mean()), len(other_hit_N),
                 float(hit_N.mean() - other_hit_N.mean()), float(np.sqrt((pull ** 2).sum())))


def _verdict(checks: list[Check]) -> str:
    suspected = [each for each in checks if each.is_suspicious]
    if suspected:
        return "leak suspected: " + ", ".join(f"{each.check} {_points(each)} points" for each in suspected)
    errors = max(each.standard_error or 0.0 for each in checks)
    return f"no leak found; one of {100 * max(SUSPICIOUS_POINTS, SUSPICIOUS_ERRORS * errors):.1f} points would show"


def _points(check: Check) -> str:
    return f"{100 * (check.difference or 0.0):+.1f} ± {100 * (check.standard_error or 0.0):.1f}"


def render(report: LeakReport) -> RenderableType:
    """A table for people."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"moves among several, {report.battles:,} validation battles", title_justify="left", box=None,
                  padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    for head in ("accuracy", "n", *(("against", "n", "difference") if report.against else ())):
        table.add_column(head, justify="right")
    for each in report.checks:
        row = [each.check, f"{each.accuracy:.1%}", f"{each.decisions:,}"]
        if each.against is not None:
            row += [f"{each.against:.1%}", f"{each.against_decisions:,}", _points(each)]
        table.add_row(*row, style="yellow" if each.is_suspicious else "")
    known = f"all four own moves known in {report.all_known:.1%} of these decisions"
    parts: list[RenderableType] = [table, Text(known)]
    if report.against:
        parts.append(Text(f"against {report.against}, " + (
            "on the decisions that both have" if report.same_decisions else
            "other battles: what players and teams differ in shows as well")))
    parts.append(Text(HOW_TO_READ))
    if report.verdict:
        parts.append(Text(report.verdict, style="bold yellow" if report.suspected else "bold"))
    return Group(*parts)
