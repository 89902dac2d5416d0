"""What shards contain, and what to know before training on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poke_bc.contract.actions import ACTION_NAMES
from poke_bc.contract.errors import ShardError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import read_split
from poke_bc.data.shards import Shards
from poke_bc.inspect.fields import Tally, ranges
from poke_bc.inspect.report import FieldFacts, Inspection, percent
from poke_bc.train.advice import odd_labels


def inspect_shards(folder: Path) -> Inspection:
    """Inspect every row, reading each shard once through its memory map. Raises ShardError."""
    shards = Shards(folder)
    manifest, counts = shards.manifest, shards.manifest.counts
    tally = Tally(manifest.schema)
    for columns in shards.each():
        tally.add(columns)
    gens = sorted({gen for gen in shards.trajectories("gen") if gen is not None})
    fields = [tally.facts_of(each, counts.present.get(each.name, 0), gens) for each in manifest.schema.fields]
    size = sum(entry.rows.bytes for entry in manifest.shards)
    facts: dict[str, Any] = {
        "schema": f"{manifest.schema.name} {manifest.schema.version}", "battles": counts.battles,
        "trajectories": counts.trajectories, "duplicates": counts.duplicates, "decisions": counts.decisions,
        "observed": counts.observed, "censored": counts.censored, "unlabelled": counts.unlabelled,
        "switch_share": {name: round(int(switches) / max(int(moves + switches), 1), 4)
                         for name, (moves, switches) in tally.switches.items()},
        "legal_masks": manifest.legal_masks, "quarantined": sum(counts.quarantined.values()),
        **({"generations": ranges(gens)} if gens else {}),
        "shards": len(manifest.shards), "bytes": size, "bytes_per_decision": round(size / max(counts.decisions, 1), 1),
        "vocabulary_sizes": {name: each.size for name, each in manifest.schema.vocabularies.items()},
    }
    remarks = [*_remarks(fields, tally, manifest), *_siblings(shards)]
    try:
        split, _ = read_split(folder, manifest.identity)
        facts["split"] = {name: each["decisions"] for name, each in split.counts.items()}
    except ShardError as error:
        remarks.append(f"{error.what.removeprefix(f'{folder}: ')}: {error.hint}")
    return Inspection(
        str(folder), "shards", facts, fields,
        labels={name: int(count) for name, count in zip(ACTION_NAMES, tally.actions_A, strict=True)},
        legal_actions={legal: int(count) for legal, count in enumerate(tally.legal_counts) if count},
        remarks=remarks)


def _remarks(fields: list[FieldFacts], tally: Tally, manifest: Manifest) -> Iterator[str]:
    counts = manifest.counts
    for note, meaning in (("constant", "never vary"), ("absent", "are missing everywhere and took their default")):
        if odd := [each for each in fields if each.note == note]:
            yield f"{len(odd)} of {len(fields)} fields {meaning}: {'; '.join(_by_reason(odd))}"
    yield from odd_labels(tally.actions_A)
    if manifest.legal_masks == "none":
        yield "no legal masks: training and accuracy consider all ten actions, legal or not"
    elif manifest.legal_masks == "some":
        yield f"{counts.decisions - counts.with_legal:,} of {counts.decisions:,} decisions have no legal mask"
    if counts.duplicates:
        yield (f"{counts.duplicates:,} of {counts.trajectories:,} trajectories are duplicates "
               "(same battle and player); they are reported, not removed")
    if not counts.observed:
        yield "no decision has a label: there is nothing to learn from"
    if counts.quarantined:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in Counter(counts.quarantined).most_common(3))
        yield f"{sum(counts.quarantined.values()):,} lines are not trajectories and were quarantined: {reasons}"
    if counts.unknown_keys:
        keys = list(counts.unknown_keys)
        yield f"{len(keys)} unknown keys were ignored: {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}"
    if unknown := tally.unknown_fractions():
        yield ("unknown names (not shown yet, missing, or not in the vocabulary): "
               + ", ".join(f"{percent(fraction)} of {name}" for name, fraction in unknown.items()))


def _siblings(shards: Shards) -> Iterator[str]:
    """Battles recorded more than once, under different ids."""
    views = zip(shards.trajectories("replay_id"), shards.trajectories("original_id"), strict=True)
    records = Counter(original for original, _ in {(original or id_, id_) for id_, original in views})
    if several := [count for count in records.values() if count > 1]:
        yield (f"{sum(several):,} battles are records of the same {len(several):,}, under different ids (original_id); "
               "split keeps them together")


def _by_reason(odd: list[FieldFacts]) -> Iterator[str]:
    for why in dict.fromkeys(each.why for each in odd):
        reason = "never set in these battles" if why == "never set" else why
        yield ", ".join(each.name for each in odd if each.why == why) + (f" ({reason})" if reason else "")
