"""How often the move used can be guessed from the slots alone, compared with other shards.

    N decisions
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from poke_bc.contract.errors import UsageError
from poke_bc.contract.split import SPLIT_NAMES, TRAIN
from poke_bc.data.shards import Shards
from poke_bc.leaks.guesses import Floats, SlotRows, guess, read_slots
from poke_bc.tables import make_table

SUSPICIOUS_POINTS = 0.02
SUSPICIOUS_ERRORS = 3.0
HOW_TO_READ = ("Compare (--against SHARDS) with the same battles converted with their players' requests: an accuracy "
               "that is clearly higher here comes from how the slots were filled, not from the battle.")


@dataclass(frozen=True)
class Check:
    """How often one rule names the move that was used."""

    check: str
    accuracy: float
    decisions: int
    against: float | None = None
    """Accuracy on the other shards."""
    against_decisions: int | None = None
    difference: float | None = None
    standard_error: float | None = None
    """Standard error of the difference, clustered by battle."""

    @property
    def is_suspicious(self) -> bool:
        """Better than on the other shards by more than 2 points and more than 3 standard errors."""
        return (self.difference is not None and self.standard_error is not None
                and self.difference > max(SUSPICIOUS_POINTS, SUSPICIOUS_ERRORS * self.standard_error))


@dataclass(frozen=True)
class LeakReport:
    """The result of `inspect --leaks`."""

    path: str
    against: str | None
    battles: int
    """Number of battles in the check: those of the split, or a random 30% if the shards are not split."""
    all_known: float
    """Fraction of the decisions in which all four slots hold a known move."""
    same_decisions: bool
    """Whether both accuracies are over the same decisions, rather than each over all of its shards."""
    checks: list[Check]
    suspected: list[str]
    """Names of the suspicious checks."""
    verdict: str | None
    """None without `against`."""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def check_leaks(folder: str | Path, against: str | Path | None = None, *, seed: int = 0,
                split: str = "val") -> LeakReport:
    """Check the move slots of shards, alone or against other shards.

    Args:
        folder: shards of the schema singles, or of another schema with the fields in `guesses.NEEDED`.
        against: shards converted with requests, ideally of the same battles: then only decisions that occur in both
            are compared, using the first one's split.
        seed: seed of the network, and of the split if the shards are not split.
        split: whose decisions to check, "val" or "test"; the network learns from "train".

    Raises UsageError where fields, masks or decisions are missing, and ShardError.
    """
    shards, here = read_slots(folder, seed)
    paired = False
    if against is None:
        hits, battle_N = _hits(here, shards, seed, split)
        checks = [Check(name, float(hit_N.mean()), len(hit_N)) for name, hit_N in hits.items()]
    else:
        other_shards, there = read_slots(against, seed)
        _, at, at_there = np.intersect1d(here.key_N, there.key_N, return_indices=True)
        paired = 2 * len(at) >= min(len(here), len(there))  # otherwise the battles are different ones
        if paired:
            here = here.take(at)
            there = replace(there.take(at_there), split_N=here.split_N)
        hits, battle_N = _hits(here, shards, seed, split)
        hits_there, battle_there_N = _hits(there, other_shards, seed, split)
        checks = [_compare(name, hits[name], battle_N, hits_there[name], battle_there_N) for name in hits]
    return LeakReport(
        path=str(folder), against=None if against is None else str(against), battles=len(np.unique(battle_N)),
        all_known=float(here.take(here.split_N == SPLIT_NAMES.index(split)).known_NM.all(axis=1).mean()),
        same_decisions=paired,
        checks=checks, suspected=[each.check for each in checks if each.is_suspicious],
        verdict=None if against is None else _verdict(checks),
    )


def _hits(rows: SlotRows, shards: Shards, seed: int, split: str) -> tuple[dict[str, Floats], NDArray[np.uint64]]:
    """Rule -> probability [N] that it names the move used, for each decision of the split; and their battles [N]."""
    train, held_out = rows.take(rows.split_N == TRAIN), rows.take(rows.split_N == SPLIT_NAMES.index(split))
    for part, name in ((train, "train"), (held_out, split)):
        if not len(part):
            raise UsageError(f"{shards.folder}: no observed choice among several moves in {name}",
                             hint="the check needs a few hundred battles with legal masks; see poke-bc split --help")
    return guess(train, held_out, shards.manifest.schema, seed), held_out.battle_N


def _compare(name: str, hit_N: Floats, battle_N: NDArray[np.uint64], other_hit_N: Floats,
             other_battle_N: NDArray[np.uint64]) -> Check:
    """Decisions of a battle are not independent: errors are clustered by battle, on both sides together."""
    battles, place = np.unique(np.concatenate([battle_N, other_battle_N]), return_inverse=True)
    pull = np.bincount(place[: len(battle_N)], (hit_N - hit_N.mean()) / len(hit_N), len(battles))
    pull -= np.bincount(place[len(battle_N):], (other_hit_N - other_hit_N.mean()) / len(other_hit_N), len(battles))
    return Check(name, float(hit_N.mean()), len(hit_N), float(other_hit_N.mean()), len(other_hit_N),
                 float(hit_N.mean() - other_hit_N.mean()), float(np.sqrt((pull ** 2).sum())))


def _verdict(checks: list[Check]) -> str:
    if suspected := [each for each in checks if each.is_suspicious]:
        return "leak suspected: " + ", ".join(f"{each.check} {_points(each)} points" for each in suspected)
    errors = max(each.standard_error or 0.0 for each in checks)
    smallest = 100 * max(SUSPICIOUS_POINTS, SUSPICIOUS_ERRORS * errors)
    return f"no leak found; one of {smallest:.1f} points would have been detected"


def _points(check: Check) -> str:
    return f"{100 * (check.difference or 0.0):+.1f} ± {100 * (check.standard_error or 0.0):.1f}"


def render(report: LeakReport) -> RenderableType:
    """The report as a table, with the verdict."""
    heads = ["check", "accuracy", "n", *(("against", "n", "difference") if report.against else ())]
    rows = []
    for each in report.checks:
        cells = [each.check, f"{each.accuracy:.1%}", f"{each.decisions:,}"]
        if each.against is not None:
            cells += [f"{each.against:.1%}", f"{each.against_decisions:,}", _points(each)]
        rows.append((cells, each.is_suspicious))
    lines = [f"all four own moves known in {report.all_known:.1%} of these decisions"]
    if report.against:
        lines.append(f"against {report.against}, " + (
            "on the decisions that both have" if report.same_decisions else
            "which holds other battles: differences between players and teams matter too"))
    verdict = Text(report.verdict or "", style="bold yellow" if report.suspected else "bold")
    return Group(make_table(heads, rows, title=f"choices among several moves in {report.battles:,} battles"),
                 *map(Text, [*lines, HOW_TO_READ]), *([verdict] if report.verdict else []))
