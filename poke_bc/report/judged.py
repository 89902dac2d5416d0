"""What is read of each run, and how its policy does on the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import NO_LABEL, unpack_actions
from poke_bc.contract.errors import RunError, UsageError
from poke_bc.contract.manifest import MANIFEST
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.evaluate import evaluate
from poke_bc.policy import Policy, load_policy
from poke_bc.policy.store import policy_folder
from poke_bc.report.agreement import calibration, confusion
from poke_bc.report.predictions import Predictions, predict
from poke_bc.train.config import TrainConfig, is_ours
from poke_bc.train.setup import pick_device
from poke_bc.train.trackers import read_metrics

_CURVE = 400
"""Most points of a learning curve; the page needs no more."""


@dataclass(frozen=True)
class Judged:
    """One run with its policy's predictions for every row of the split."""

    policy: Policy
    data: ShardDataset
    """Every row, also without a label or a choice."""
    predictions: Predictions
    config: dict[str, Any] | None
    """Its settings; None for a policy outside its run."""
    facts: dict[str, Any] = field(repr=False)
    """What the page says about it."""

    @property
    def is_hit_N(self) -> NDArray[np.float64]:
        """1 where the best action was taken, 0 where another was, nan where evaluation does not judge: [N]."""
        action_N, legal_N = self.data.column("action"), self.data.column("legal")
        is_judged_N = (action_N != NO_LABEL) & ((legal_N == 0) | (unpack_actions(legal_N).sum(axis=1) > 1))
        return np.where(is_judged_N, self.predictions.best_N == action_N, np.nan)


def judge(run: Path, name: str, shards: Path | None, split: str, *, checkpoint: str, device: str) -> Judged:
    """Evaluate a run, and predict every row of the split. Raises what `evaluate` does."""
    place = policy_folder(run, checkpoint).resolve()
    own = next(filter(is_ours, place.parents), None)
    config = None if own is None else TrainConfig.read(own)
    if shards is None:
        if config is None:
            raise UsageError(f"{run}: a policy outside its run; its shards are not known",
                             hint="add --shards data/shards")
        shards = config.shards
        if not (shards / MANIFEST).is_file():
            raise RunError(f"{run}: the shards it was trained on are gone: {shards}",
                           hint="bring them back, or say where they are now: --shards FOLDER")
    figures = evaluate(run, shards, split, device=device, checkpoint=checkpoint)
    where = pick_device(device)
    policy = load_policy(run, device=where, checkpoint=checkpoint)
    opened = Shards(shards)
    data = ShardDataset(opened, None if split == "all" else split, steps=getattr(policy, "steps", None),
                        every_row=True)
    predictions = predict(policy, data, np.arange(len(data)))
    lines = [] if own is None else [figures_ for _, figures_ in read_metrics(own)]
    facts = {
        "name": name, "path": str(run), "checkpoint": figures["judged"]["checkpoint"], "network": policy.name,
        "parameters": sum(weight.numel() for weight in policy.parameters()), "figures": figures,
        "curve": _thinned([line for line in lines if "loss" in line], ("step", "samples", "loss", "lr")),
        "evaluations": [{"step": line["step"], "samples": line["samples"], **line["val"]} for line in lines
                        if "nll" in (line.get("val") or {})],
        "has_value": predictions.value_N is not None, "has_gimmick": predictions.gimmick_NG is not None,
    }
    judged = Judged(policy, data, predictions, None if config is None else config.flat(), facts)
    is_hit_N = judged.is_hit_N
    seen_N = ~np.isnan(is_hit_N)
    facts["calibration"] = calibration(predictions.probs_NA.max(axis=1, initial=0)[seen_N], is_hit_N[seen_N] == 1)
    facts["confusion"] = confusion(data.column("action")[seen_N], predictions.best_N[seen_N])
    return judged


def _thinned(lines: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of at most _CURVE lines, evenly chosen, the last one included."""
    kept = [lines[place] for place in np.unique(np.linspace(0, len(lines) - 1, min(len(lines), _CURVE), dtype=int))]
    return {name: [line.get(name) for line in kept] for name in names}


def short_names(runs: Sequence[Path]) -> list[str]:
    """How the page calls each run: its folder's name, with as many folders before it as tell them apart.

    >>> short_names([Path("a/one"), Path("b/one"), Path("b/two")])
    ['a/one', 'b/one', 'two']
    """
    parts = [path.resolve().parts for path in runs]
    names = []
    for own in parts:
        length = next((length for length in range(1, len(own))
                       if sum(other[-length:] == own[-length:] for other in parts) == 1), len(own))
        names.append("/".join(own[-length:]))
    return names
