"""What to know about the data before training on it, one line each.

    A the ten actions   M rows
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import ACTION_NAMES, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS
from poke_bc.data.dataset import ShardDataset

_FEWEST_LABELS = 30  # with fewer, a slot that never occurs means nothing
_FEWEST_DECISIONS = 1000  # with 1,000, a top-1 of 50% is uncertain by 3 points
_SAMPLED = 1 << 16
_NAMED = 8


def advice(data: ShardDataset, val: ShardDataset, batch_size: int) -> Iterator[str]:
    """Remarks on the training and validation rows of a run."""
    action_M = data.column("action")
    yield from odd_labels(np.bincount(action_M[action_M != NO_LABEL], minlength=NUM_ACTIONS))
    manifest = data.manifest
    if manifest.legal_masks != "all":
        without = 1 - manifest.counts.with_legal / max(manifest.counts.decisions, 1)
        yield f"{without:.0%} of the decisions have no legal mask: all ten actions count as legal there"
    if dead := _dead_fields(data):
        more = f", and {len(dead) - _NAMED} more" if len(dead) > _NAMED else ""
        yield (f"{len(dead)} of {len(manifest.schema.fields)} fields never vary in the training rows: "
               f"{', '.join(dead[:_NAMED])}{more} (poke-bc inspect {data.shards.folder})")
    if zero := sum(int((weights == 0).sum()) for weights in data.chunks("weight")):
        yield f"{zero:,} of {len(data):,} training decisions have weight 0 and teach nothing"
    if not len(val):
        yield f"{data.shards.folder}: the val split has no decisions; training continues without evaluation"
    elif len(val) < _FEWEST_DECISIONS:
        count = len(np.unique(val.column("battle")))
        battles = "1 battle" if count == 1 else f"{count:,} battles"
        yield (f"the val split has only {len(val):,} decisions of {battles}: its top-1 is uncertain by about "
               f"{1.96 * 0.5 / len(val) ** 0.5:.0%}, and the best checkpoint is chosen by chance")
    if batch_size > len(data):
        yield (f"a batch of {batch_size:,} is larger than an epoch of {len(data):,} decisions: an update uses each "
               f"decision {batch_size / len(data):.1f} times; choose a smaller --batch-size")


def odd_labels(actions_A: NDArray[np.int64]) -> Iterator[str]:
    """Labels that are all the same, or always name the same slot among moves or among switches."""
    if actions_A.sum() >= _FEWEST_LABELS and np.count_nonzero(actions_A) == 1:
        yield f"the labels are constant: every one is {ACTION_NAMES[int(actions_A.argmax())]}"
        return
    stuck = []
    for kind, counts in (("move", actions_A[:MOVE_SLOTS]), ("switch", actions_A[MOVE_SLOTS:])):
        if counts.sum() >= _FEWEST_LABELS and np.count_nonzero(counts) == 1:
            stuck.append(f"every {kind} is {kind} {int(counts.argmax())}")
    if stuck:
        yield (f"the labels are degenerate: {' and '.join(stuck)} (action_target never varies), so they say whether "
               "a player moved or switched, but not which move or Pokémon was chosen")


def _dead_fields(data: ShardDataset) -> list[str]:
    """Fields whose values are the same in all rows, judged by at most 65,536 from all over the data."""
    places = np.linspace(0, len(data) - 1, min(len(data), _SAMPLED), dtype=np.int64)
    batch = data.batch(places) if data.steps is None else data.batch(places).at(0)
    varies = {kind: (rows != rows[0]).any(axis=0)
              for kind, rows in ((True, batch.category.numpy()), (False, batch.number.numpy()))}
    schema = data.manifest.schema
    return [field.name for field in schema.fields if not varies[field.is_category][schema.columns[field.name]].any()]
