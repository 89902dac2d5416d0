"""What is read of each run, and how its policy does on the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import NO_LABEL, has_choice
from poke_bc.contract.errors import RunError
from poke_bc.contract.manifest import MANIFEST
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import Predictions, open_rows, open_subject, predict
from poke_bc.evaluate import judge as judge_rows
from poke_bc.policy.store import policy_folder
from poke_bc.train.config import TrainConfig, run_around
from poke_bc.train.trackers import read_metrics

_CURVE = 400
"""Most points of a learning curve; the page needs no more."""


@dataclass(frozen=True)
class Judged:
    """One run with its policy's predictions for every row of the split."""

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
        is_judged_N = (action_N != NO_LABEL) & has_choice(legal_N)
        return np.where(is_judged_N, self.predictions.best_N == action_N, np.nan)


def judge(run: Path, name: str, shards: Path | None, split: str, *, checkpoint: str, device: str) -> Judged:
    """Evaluate a run, and predict every row of the split. Raises what `evaluate` does."""
    own = run_around(policy_folder(run, checkpoint))
    config = None if own is None else TrainConfig.read(own)
    if shards is None and config is not None and not (config.shards / MANIFEST).is_file():
        raise RunError(f"{run}: the shards it was trained on are gone: {config.shards}",
                       hint="bring them back, or say where they are now: --shards FOLDER")
    subject = open_subject(run, shards, split, device=device, checkpoint=checkpoint)
    policy = subject.policy
    data = open_rows(policy, subject.shards, subject.dataset.split, every_row=True)
    predicted = predict(policy, data, device=subject.device)
    figures = judge_rows(subject, predicted.at(np.isin(data.rows, subject.dataset.rows, assume_unique=True)))
    lines = [] if own is None else [line for _, line in read_metrics(own)]
    return Judged(data, predicted, None if config is None else config.flat(), {
        "name": name, "path": str(run), "checkpoint": subject.checkpoint, "network": policy.name,
        "parameters": policy.parameter_count, "figures": figures,
        "curve": _thinned([line for line in lines if "policy_loss" in line], ("step", "samples", "policy_loss", "lr")),
        "evaluations": [{"step": line["step"], "samples": line["samples"], **line["val"]} for line in lines
                        if "nll" in (line.get("val") or {})],
        "has_value": predicted.value_N is not None, "has_gimmick": predicted.gimmick_NMG is not None,
    })


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
