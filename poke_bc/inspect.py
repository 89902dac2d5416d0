"""inspect: what is in a raw file, in shards or in a run, and what is odd about it, said plainly.

The remarks are the point: a field that never varies, labels that do not say which move, masks that are missing.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import ACTION_NAMES, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS
from poke_bc.contract.errors import InputError, ShardError, UsageError
from poke_bc.contract.manifest import MANIFEST, Manifest
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Field, Schema
from poke_bc.contract.split import read_split
from poke_bc.contract.vocabulary import NONE, UNKNOWN

if TYPE_CHECKING:
    from rich.console import RenderableType

ProgressCallback = Callable[[str, int, int | None, int], None]
_IDS = 1 << 16  # both packed types have 16 bits, so that every distinct value can be counted exactly
_WHY = {"never set": "nothing of the kind in these battles"}
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
    """Of names, the ids that stand for them."""
    named: bool
    """A category whose vocabulary lists names."""
    distinct: int
    varying: int
    """How many of the `width` positions take more than one value."""
    share: float
    """Of the values, those other than the default, or that are a listed name: how often a flag is set, an age runs."""
    note: str
    """"constant", "absent", or nothing."""
    why: str
    """Of a constant field, in a few words: "not in gen 9", "never set", "always 100"."""


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
        self.first: dict[str, NDArray[np.uint16]] = {}
        self.varies = {each.name: np.zeros(each.width, np.bool_) for each in schema.fields}
        self.actions_A = np.zeros(NUM_ACTIONS, np.int64)
        self.legal_counts = np.zeros(NUM_ACTIONS + 1, np.int64)

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Count the rows of a shard or a decoded block."""
        self.rows += len(columns["action"])
        for each in self.schema.fields:
            packed = columns[CATEGORY_COLUMN if each.is_category else NUMBER_COLUMN][:, self.schema.columns[each.name]]
            values = np.ascontiguousarray(packed).view(np.uint16)
            self.values[each.name] += np.bincount(values.ravel(), minlength=_IDS)
            if len(values):
                self.varies[each.name] |= (values != self.first.setdefault(each.name, values[0].copy())).any(axis=0)
        action_N = columns["action"]
        self.actions_A += np.bincount(action_N[action_N != NO_LABEL], minlength=NUM_ACTIONS)
        self.legal_counts += np.bincount(np.bitwise_count(columns["legal"]), minlength=NUM_ACTIONS + 1)

    def facts_of(self, each: Field, present: int, gens: Sequence[int]) -> FieldFacts:
        """What the values of one field are.

        Args:
            each: the field.
            present: decisions in which the key had a value.
            gens: generations in the data; none: not known.
        """
        bits = np.flatnonzero(self.values[each.name]).astype(np.uint16)
        values = bits if each.is_category else bits.view(np.float16)
        note = "absent" if not present else "" if self.varies[each.name].any() else "constant"
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        named = each.is_category and not self.schema.vocabularies[each.vocab].is_open
        default = int(np.asarray(each.default, np.uint16 if each.is_category else np.float16).view(np.uint16))
        unset = self.values[each.name][[UNKNOWN, NONE] if named else [default]].sum()
        share = 1 - unset / max(self.values[each.name].sum(), 1)
        return FieldFacts(each.name, each.kind, each.width, present / max(self.rows, 1), low, high, named, len(values),
                          int(self.varies[each.name].sum()), float(share), note,
                          _why(each, self.schema, values, gens) if note == "constant" else "")


def _why(each: Field, schema: Schema, values: NDArray[Any], gens: Sequence[int]) -> str:
    """A few words for a field that never varies; a list may hold several values and still be always the same."""
    if each.gens is not None and gens and not any(each.gens[0] <= gen <= each.gens[1] for gen in gens):
        return f"not in gen {_ranges(gens)}"
    if len(values) > 1:
        return "always the same"
    value = float(values[0])
    names = schema.vocabularies[each.vocab].names if each.is_category else None
    if value == (NONE if names is not None else np.float16(each.default)):
        return "never set"
    return f"always {value:g}" if names is None else f"always {('unknown', 'none', *names)[int(value)]}"


def _ranges(gens: Sequence[int]) -> str:
    """[5, 6, 7, 9] -> "5-7, 9"."""
    starts = [gen for gen in gens if gen - 1 not in gens]
    ends = [gen for gen in gens if gen + 1 not in gens]
    return ", ".join(f"{start}" if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True))


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
    gens = sorted({gen for gen in shards.trajectories("gen") if gen is not None})
    fields = [tally.facts_of(each, manifest.counts.present.get(each.name, 0), gens) for each in manifest.schema.fields]
    labels = {name: int(count) for name, count in zip(ACTION_NAMES, tally.actions_A, strict=True)}
    legal = {open_: int(count) for open_, count in enumerate(tally.legal_counts) if count}
    size = sum(entry.rows.bytes for entry in manifest.shards)
    facts = {"schema": f"{manifest.schema.name} {manifest.schema.version}", **_counts(manifest),
             **({"generations": _ranges(gens)} if gens else {}), "shards": len(manifest.shards), "bytes": size,
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
        if odd := [each for each in fields if each.note == note]:
            groups = [(why, [each.name for each in odd if each.why == why])
                      for why in dict.fromkeys(each.why for each in odd)]
            yield f"{len(odd)} of {len(fields)} fields {meaning}: " + "; ".join(
                f"{', '.join(names)}{f' ({_WHY.get(why, why)})' if why else ''}" for why, names in groups)
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
    shares = {each.name: tally.values[each.name][UNKNOWN] / max(tally.values[each.name].sum(), 1)
              for each in tally.schema.categories if not tally.schema.vocabularies[each.vocab].is_open}
    if unknown := [f"{_percent(share)} of {name}" for name, share in shares.items() if share]:
        yield f"unknown (not shown yet, missing, or no name of the vocabulary): {', '.join(unknown)}"


def _degenerate(actions_A: NDArray[np.int64]) -> Iterator[str]:
    """Labels that cannot say which: one slot only, among moves or among switches."""
    stuck = []
    for kind, counts in (("move", actions_A[:MOVE_SLOTS]), ("switch", actions_A[MOVE_SLOTS:])):
        if counts.sum() >= _ENOUGH and np.count_nonzero(counts) == 1:
            stuck.append(f"every {kind} is {kind} {int(counts.argmax())}")
    if stuck:
        yield (f"the labels are degenerate: {' and '.join(stuck)} (action_target never varies), so they say whether "
               "a player moved or switched, but not which move or Pokémon")


def inspect_run(run: Path) -> Inspection:
    """Configuration, progress and the last evaluation of a run."""
    from poke_bc.train.config import TrainConfig

    config = TrainConfig.read(run).to_dict()
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
        parts.append(_fields_table(found.fields))
    if sum(found.labels.values()):
        parts.append(_bars("labels", found.labels))
        parts.append(_bars("legal actions", {f"{open_} open" if open_ else "not recorded": count
                                             for open_, count in found.legal_actions.items()}))
    parts += [Text(f"! {remark}", style="yellow") for remark in found.remarks]
    return Group(*parts)


def _fields_table(fields: list[FieldFacts]) -> RenderableType:
    """One line a field, within 100 characters: of names and lists alike."""
    from rich.table import Table

    table = Table(title="fields (vary: how many of its values do; set: share that is a name, or not the default)",
                  title_justify="left", box=None, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for head in ("field", "kind", "width", "vary", "present", "low", "high", "distinct", "set"):
        table.add_column(head, justify="left" if head in ("field", "kind") else "right", no_wrap=True)
    table.add_column("")
    for each in fields:
        low, high = ("", "") if each.named else (f"{each.low:.4g}", f"{each.high:.4g}")
        table.add_row(each.name, "name" if each.named else each.kind, str(each.width), str(each.varying),
                      f"{each.present:.0%}", low, high, f"{each.distinct:,}", _percent(each.share),
                      each.why or each.note, style="yellow" if each.note else "")
    return table


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


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
