"""What runs were trained and judged on: formats, ratings, labels, quarantine, fields that say nothing.

    T trajectories
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from poke_bc.contract.errors import ShardError
from poke_bc.contract.split import read_split
from poke_bc.data.shards import Shards
from poke_bc.inspect import inspect_shards

RATING_STEP = 100
_LISTED = 12
"""Formats, sources and reasons beyond these are counted together."""


def data_card(shards: Shards) -> dict[str, Any]:
    """Everything that the page says about a data set. Reads each shard once, through its memory map."""
    found = inspect_shards(shards.folder)
    manifest = shards.manifest
    ratings_T = np.array([np.nan if value is None else value for value in shards.trajectories("rating")], np.float64)
    outcomes = Counter(_outcome(value) for value in shards.trajectories("total_reward"))
    imputed = sum(bool(value) for value in shards.trajectories("imputed"))
    dates = sorted(value[:10] for value in shards.trajectories("date") if value)
    players = {value for value in shards.trajectories("player_id") if value}
    return {
        "folder": found.path, "facts": found.facts, "remarks": found.remarks, "labels": found.labels,
        "legal_actions": found.legal_actions, "fields": [asdict(each) for each in found.fields],
        "formats": _most_common(Counter(value or "not recorded" for value in shards.trajectories("format"))),
        "ratings": _histogram(ratings_T), "unrated": int(np.isnan(ratings_T).sum()),
        "outcomes": dict(outcomes), "players": len(players), "imputed": imputed,
        "dates": [dates[0], dates[-1]] if dates else [],
        "quarantined": _most_common(Counter(manifest.counts.quarantined)),
        "sources": [asdict(each) for each in manifest.sources[:_LISTED]], "source_count": len(manifest.sources),
        "split": _split(shards),
    }


def _split(shards: Shards) -> dict[str, Any]:
    try:
        split, _ = read_split(shards.folder, shards.manifest.identity)
    except ShardError:
        return {}
    return {"by": split.by, "seed": split.seed, "where": split.where, "counts": split.counts}


def _outcome(reward: float | None) -> str:
    return "not recorded" if reward is None else "won" if reward > 0 else "lost" if reward < 0 else "neither"


def _histogram(values_T: np.ndarray[Any, np.dtype[np.float64]]) -> list[list[int]]:
    """[first rating of a band, trajectories], bands of RATING_STEP points without gaps."""
    bands = (values_T[~np.isnan(values_T)] // RATING_STEP).astype(np.int64)
    if not len(bands):
        return []
    first = int(bands.min())
    return [[(first + place) * RATING_STEP, int(count)] for place, count in enumerate(np.bincount(bands - first))]


def _most_common(counts: Counter[str]) -> list[list[Any]]:
    listed: list[list[Any]] = [[name, count] for name, count in counts.most_common(_LISTED)]
    rest = counts.total() - sum(count for _, count in listed)
    return [*listed, [f"{len(counts) - _LISTED:,} others", rest]] if rest else listed
