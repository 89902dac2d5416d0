"""Which battles the page holds, and their rows as bytes.

Each player's view of a battle becomes one zlib stream of uint16, column after column: the columns of the packed
matrices that vary (the others stand once in `Layout.constant`), then legal, candidates, action, gimmick, then what each
run predicts. Column-major, 27,193 decisions of 495 battles took 1.9 MB, against 2.1 MB row by row; differences between
steps made either larger. page/bytes.js reads it.

    N rows   V columns that vary   X columns of both matrices
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import Predictions

PROB_UNIT = 50_000
"""Probability 1 as a uint16."""
VALUE_UNIT, VALUE_ZERO = 8_000, 32_000
"""A return of 1 and of 0; returns beyond -4 and 4 are clipped."""
_SCALARS = ("legal", "candidates", "action", "gimmick")
_TABLE = ("replay_id", "player", "player_id", "format", "gen", "rating", "opponent_rating", "total_reward", "imputed")
_INDEX_BYTES = 250
"""Room for what the page says about a view besides its rows."""


@dataclass(frozen=True)
class Layout:
    """Where the columns of the packed matrices are."""

    varying: list[int]
    """Columns [V] of category and number, side by side, that the streams hold."""
    constant: list[int]
    """The value of every column where it does not vary."""


@dataclass(frozen=True)
class View:
    """One player's view of a battle: where its rows are, and what the page says about it."""

    rows: slice
    """Places in the selection of the data set."""
    facts: dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The battles that a page holds."""

    battles: list[dict[str, Any]]
    streams: list[str]
    """base64, one a view; `views[...]["stream"]` of a battle is the index."""
    layout: Layout
    of: int
    """Battles in the split."""
    places_N: NDArray[np.int64]
    """The places of all rows it holds."""


def views_of(data: ShardDataset) -> list[View]:
    """Every trajectory of a data set that was opened with `every_row`, in its order."""
    trajectory_N = data.column("trajectory")
    starts = np.flatnonzero(np.diff(trajectory_N.astype(np.int64), prepend=-1))
    ends = [*starts[1:], len(trajectory_N)]
    table = {name: data.shards.trajectories(name) for name in _TABLE}
    return [View(slice(int(start), int(end)), {name: values[trajectory_N[start]] for name, values in table.items()})
            for start, end in zip(starts, ends, strict=True)]


def choose(data: ShardDataset, views: Sequence[View], first: Iterable[int], runs: Sequence[Predictions],
           is_hit_N: NDArray[np.float64], *, room: int, most: int | None) -> Chosen:
    """Battles, both views together, until the room is used up.

    Args:
        data: opened with `every_row`.
        views: of `data`.
        first: places of rows whose battles come first; the others follow in the order of their hash, which is random
            and the same every time.
        runs: predictions for every row of `data`.
        is_hit_N: 1 where the first run's best action was taken, 0 where another was, nan where that cannot be said.
        room: bytes, base64 included.
        most: maximum of battles.
    """
    of_battle: dict[str, list[View]] = {}
    for view in views:
        of_battle.setdefault(str(view.facts["replay_id"]), []).append(view)
    hash_N = data.column("battle")
    name_of = np.repeat([str(view.facts["replay_id"]) for view in views],
                        [view.rows.stop - view.rows.start for view in views])
    order = [*(str(name_of[place]) for place in first),
             *sorted(of_battle, key=lambda name: int(hash_N[of_battle[name][0].rows.start]))]
    packed_NX = _packed(data)
    varies = (packed_NX != packed_NX[:1]).any(axis=0)
    layout = Layout(np.flatnonzero(varies).tolist(), packed_NX[0].tolist() if len(packed_NX) else [])
    columns = [packed_NX[:, varies], *(data.column(name).astype(np.uint16)[:, None] for name in _SCALARS),
               *(part for run in runs for part in _predicted(run))]
    battles: list[dict[str, Any]] = []
    streams: list[str] = []
    places: list[NDArray[np.int64]] = []
    for name in dict.fromkeys(order):
        if most is not None and len(battles) == most:
            break
        found = [_stream([each[view.rows] for each in columns]) for view in of_battle[name]]
        room -= sum(len(stream) + _INDEX_BYTES for stream in found)
        if room < 0:
            break
        battles.append({"id": name, "views": [*_described(of_battle[name], is_hit_N, len(streams))]})
        streams += found
        places += [np.arange(view.rows.start, view.rows.stop) for view in of_battle[name]]
    return Chosen(battles, streams, layout, len(of_battle), np.concatenate([np.empty(0, np.int64), *places]))


def _described(views: Sequence[View], is_hit_N: NDArray[np.float64], first: int) -> Iterator[dict[str, Any]]:
    """What the page says about the views of a battle. A view that is there twice is told apart by a number."""
    seen: dict[str, int] = {}
    for place, view in enumerate(views):
        player = str(view.facts["player"])
        hits = is_hit_N[view.rows][~np.isnan(is_hit_N[view.rows])]
        seen[player] = seen.get(player, 0) + 1
        yield {**{name: value for name, value in view.facts.items() if name != "replay_id" and value is not None},
               "player": player if seen[player] == 1 else f"{player}-{seen[player]}",
               "decisions": view.rows.stop - view.rows.start,
               "agreement": float(hits.mean()) if len(hits) else None, "stream": first + place, "row": view.rows.start}


def _packed(data: ShardDataset) -> NDArray[np.uint16]:
    """Both matrices of all rows side by side, numbers by their bits."""
    parts = [data.column(name).view(np.uint16) for name in (CATEGORY_COLUMN, NUMBER_COLUMN)
             if name in data.shards.layout]
    return np.concatenate(parts, axis=1)


def _predicted(run: Predictions) -> Iterator[NDArray[np.uint16]]:
    """The columns of one run: ten probabilities, the value, and 4 x 5 probabilities of what is activated."""
    yield np.rint(run.probability_NA * PROB_UNIT).astype(np.uint16)
    if run.value_N is not None:
        yield np.rint(run.value_N.clip(-4, 4)[:, None] * VALUE_UNIT + VALUE_ZERO).astype(np.uint16)
    if run.gimmick_NMG is not None:
        yield np.rint(run.gimmick_NMG.reshape(len(run.gimmick_NMG), -1) * PROB_UNIT).astype(np.uint16)


def _stream(columns: Sequence[NDArray[np.uint16]]) -> str:
    by_column = np.concatenate(columns, axis=1).T.astype("<u2", copy=False)
    return base64.b64encode(zlib.compress(by_column.tobytes(), 9)).decode()
