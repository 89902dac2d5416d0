"""inspect: what is in a raw file, in shards or in a run, and what is odd about it, said plainly.

The remarks are the point: a field that never varies, labels that do not say which move, masks that are missing.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import ACTION_NAMES, ACTIONS, MOVES, NO_LABEL
from poke_bc.contract.errors import InputError, ShardError, UsageError
from poke_bc.contract.manifest import MANIFEST, Manifest
from poke_bc.contract.rows import CATEGORY, NUMBER
from poke_bc.contract.schema import Field, Schema
from poke_bc.contract.split import read_split
from poke_bc.contract.vocabulary import UNKNOWN

if TYPE_CHECKING:
    from rich.console import RenderableType

ProgressCallback = Callable[[str, int, int | None, int], None]
_IDS = 1 << 16  # both packed types have 16 bits, so that every distinct value can be counted exactly
_ENOUGH = 30  # labels below which a missing action says nothing


@dataclass(frozen=True)
class FieldFacts:
    """What the values of one field are."""

    name: str
    kind: str
    width: int
    present: float
    """Share of decisions where the key had a value; the others took the default."""
    low: float
    high: float
    distinct: int
    note: str
    """"constant", "absent", or nothing."""


@dataclass(frozen=True)
class Inspection:
    """Everything that `inspect` says."""

    path: str
    kind: str
    """raw, shards or run."""
    facts: dict[str, Any]
    fields: list[FieldFacts] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    """Action -> decisions with that label."""
    legal_actions: dict[int, int] = field(default_factory=dict)
    """Number of legal actions (0: not recorded) -> decisions."""
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


class Tally:
    """Counts over rows, fed piece by piece."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.values = {each.name: np.zeros(_IDS, np.int64) for each in schema.fields}
        self.actions_A = np.zeros(ACTIONS, np.int64)
        self.legal_counts = np.zeros(ACTIONS + 1, np.int64)

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Count the rows of a shard or a decoded block."""
        self.rows += len(columns["action"])
        for each in self.schema.fields:
            values = columns[CATEGORY if each.is_category else NUMBER][:, self.schema.columns[each.name]]
            self.values[each.name] += np.bincount(np.ascontiguousarray(values).view(np.uint16).ravel(), minlength=_IDS)
        action_N = columns["action"]
        self.actions_A += np.bincount(action_N[action_N != NO_LABEL], minlength=ACTIONS)
        self.legal_counts += np.bincount(np.bitwise_count(columns["legal"]), minlength=ACTIONS + 1)

    def facts_of(self, each: Field, present: int) -> FieldFacts:
        """Range and number of distinct values of one field."""
        bits = np.flatnonzero(self.values[each.name]).astype(np.uint16)
        values = bits if each.is_category else bits.view(np.float16)
        note = "absent" if not present else "constant" if len(values) == 1 else ""
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        return FieldFacts(each.name, each.kind, each.width, present / max(self.rows, 1), low, high, len(values), note)


def inspect(path: str | Path, *, schema: str | Path = "auto",
            progress: ProgressCallback = lambda *_: None) -> Inspection:
    """Look into a raw file, shards or a run.

    Args:
        path: JSONL (.gz, .zst), a folder of shards, or a run.
        schema, progress: for raw files, as in preprocess.

    Raises UsageError for anything else, and what the readers raise.
    """
    path = Path(path)
    if (path / MANIFEST).exists():
        return inspect_shards(path)
    if (path / "config.toml").exists():
        return inspect_run(path)
    if path.is_dir() and ((path / "digests.json").exists() or not any(path.glob("*.jsonl*"))):
        raise UsageError(f"{path}: neither shards nor a run, and no JSONL inside",
                         hint="give a raw file, or the folder that preprocess or train wrote")
    return inspect_raw(path, schema, progress)


def inspect_shards(folder: Path) -> Inspection:
    """Of every row, read once through the memory map."""
    from poke_bc.data.shards import Shards

    shards = Shards(folder)
    manifest = shards.manifest
    tally = Tally(manifest.schema)
    for columns in shards.each():
        tally.add(columns)
    fields = [tally.facts_of(each, manifest.counts.present.get(each.name, 0)) for each in manifest.schema.fields]
    labels = {name: int(count) for name, count in zip(ACTION_NAMES, tally.actions_A, strict=True)}
    legal = {open_: int(count) for open_, count in enumerate(tally.legal_counts) if count}
    size = sum(entry.rows.bytes for entry in manifest.shards)
    facts = {"schema": f"{manifest.schema.name} {manifest.schema.version}", **_counts(manifest),
             "shards": len(manifest.shards), "bytes": size,
             "bytes_per_decision": round(size / max(manifest.counts.decisions, 1), 1),
             "vocabulary_sizes": {name: each.size for name, each in manifest.schema.vocabularies.items()}}
    remarks = [*_remarks(fields, tally.actions_A, manifest), *_unknown_names(tally)]
    try:
        split, _ = read_split(folder, manifest.identity)
        facts["split"] = {part: each["decisions"] for part, each in split.counts.items()}
    except ShardError as error:
        remarks.append(f"{error.what.removeprefix(f'{folder}: ')}: {error.hint}")
    return Inspection(str(folder), "shards", facts, fields, labels, legal, remarks)


def inspect_raw(path: Path, schema: str | Path, progress: ProgressCallback = lambda *_: None) -> Inspection:
    """What its shards would be, made in a temporary folder; bad lines are told, however many."""
    from pipelines.preprocess import preprocess

    with tempfile.TemporaryDirectory(prefix="poke-bc-inspect-") as folder:
        try:
            preprocess([path], folder, schema=schema, max_bad=1.0, progress=progress)
        except InputError as error:  # its hint may name a file in the folder that is about to go
            hint = "one JSON object a line (docs/format.md); preprocess names each bad line"
            raise InputError(error.what, hint=hint) from None
        found = inspect_shards(Path(folder))
    about_shards = ("shards", "bytes", "bytes_per_decision", "split")
    return replace(found, path=str(path), kind="raw",
                   facts={name: value for name, value in found.facts.items() if name not in about_shards},
                   remarks=[remark for remark in found.remarks if not remark.startswith("not split")])


def _counts(manifest: Manifest) -> dict[str, Any]:
    counts = manifest.counts
    return {"battles": counts.battles, "trajectories": counts.trajectories, "duplicates": counts.duplicates,
            "decisions": counts.decisions, "observed": counts.observed, "censored": counts.censored,
            "unlabelled": counts.unlabelled, "legal_masks": manifest.legal_masks,
            "quarantined": sum(counts.quarantined.values())}


def _remarks(fields: list[FieldFacts], actions_A: NDArray[np.int64], manifest: Manifest) -> Iterator[str]:
    """What somebody who trains on this should know."""
    counts = manifest.counts
    for note, meaning in (("constant", "never vary"), ("absent", "are never there and took their default")):
        if names := [each.name for each in fields if each.note == note]:
            yield f"{len(names)} of {len(fields)} fields {meaning}: {', '.join(names)}"
    yield from _degenerate(actions_A)
    if manifest.legal_masks == "none":
        yield "no legal masks: training and accuracy run over all ten actions, whether they were open or not"
    elif manifest.legal_masks == "some":
        yield f"{counts.decisions - counts.with_legal:,} of {counts.decisions:,} decisions have no legal mask"
    if counts.duplicates:
        yield (f"{counts.duplicates:,} of {counts.trajectories:,} trajectories are there twice "
               "(same battle and player); both are kept")
    if not counts.observed:
        yield "no decision has a label: nothing can be learnt from this"
    if counts.quarantined:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in Counter(counts.quarantined).most_common(3))
        yield f"{sum(counts.quarantined.values()):,} lines are no trajectories: {reasons}"
    if counts.unknown_keys:
        keys = list(counts.unknown_keys)
        yield f"{len(keys)} unknown keys were left out: {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}"


def _unknown_names(tally: Tally) -> Iterator[str]:
    """Names that a closed vocabulary does not list are stored as unknown: how many."""
    for each in tally.schema.categories:
        unknown = int(tally.values[each.name][UNKNOWN])
        if unknown and not tally.schema.vocabularies[each.vocab].is_open:
            yield (f"{unknown / tally.values[each.name].sum():.1%} of {each.name} is unknown: "
                   f"missing, or no name of the vocabulary {each.vocab!r}")


def _degenerate(actions_A: NDArray[np.int64]) -> Iterator[str]:
    """Labels that cannot say which: one slot only, among moves or among switches."""
    stuck = []
    for kind, counts in (("move", actions_A[:MOVES]), ("switch", actions_A[MOVES:])):
        if counts.sum() >= _ENOUGH and np.count_nonzero(counts) == 1:
            stuck.append(f"every {kind} is {kind} {int(counts.argmax())}")
    if stuck:
        yield (f"the labels are degenerate: {' and '.join(stuck)} (action_target never varies), so they say whether "
               "a player moved or switched, but not which move or Pokémon")


def inspect_run(run: Path) -> Inspection:
    """Configuration, progress and the last evaluation of a run."""
    from poke_bc.train.config import CONFIG_FILE, read_toml

    config = read_toml(run / CONFIG_FILE)
    metrics = []
    for line in (run / "metrics.jsonl").read_bytes().splitlines() if (run / "metrics.jsonl").exists() else []:
        with contextlib.suppress(ValueError):  # cut short when the run was killed
            metrics.append(json.loads(line))
    judged = [line for line in metrics if line.get("val")]
    facts: dict[str, Any] = {"config": config}
    if metrics:
        facts["last"] = {key: value for key, value in metrics[-1].items() if key != "val"}
    remarks = []
    if judged:
        best = min(judged, key=lambda line: float(line["val"]["nll"]))
        facts["best"] = {"step": best["step"], **best["val"]}
        if best is not judged[-1]:
            later = len(judged) - 1 - judged.index(best)
            remarks.append(f"validation loss was best at step {best['step']}, {later} "
                           f"evaluation{'s' if later > 1 else ''} before the last")
    else:
        remarks.append("no evaluation yet")
    for name in ("best", "last"):
        facts[f"{name}_checkpoint"] = (run / name).resolve().name if (run / name).exists() else None
    return Inspection(str(run), "run", facts, remarks=remarks)


def render(found: Inspection) -> RenderableType:
    """Tables for people."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"{found.path} ({found.kind})", style="bold")]
    facts = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in found.facts.items():
        facts.add_row(name.replace("_", " "), _plain(value))
    parts.append(facts)
    if found.fields:
        table = Table(title="fields", title_justify="left", box=None, padding=(0, 2))
        for head in ("field", "kind", "width", "present", "low", "high", "distinct", ""):
            table.add_column(head, justify="left" if head in ("field", "kind", "") else "right")
        for each in found.fields:
            table.add_row(each.name, each.kind, str(each.width), f"{each.present:.0%}", f"{each.low:g}",
                          f"{each.high:g}", f"{each.distinct:,}", each.note, style="yellow" if each.note else "")
        parts.append(table)
    if sum(found.labels.values()):
        parts.append(_bars("labels", found.labels))
        parts.append(_bars("legal actions", {f"{open_} open" if open_ else "not recorded": count
                                             for open_, count in found.legal_actions.items()}))
    parts += [Text(f"! {remark}", style="yellow") for remark in found.remarks]
    return Group(*parts)


def _bars(title: str, counts: Mapping[str, int]) -> RenderableType:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    total = sum(counts.values())
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", f"{count / total:.1%}", "█" * round(40 * count / max(counts.values())))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
