"""The leak check on the decisions that a policy was evaluated on: does it know more than the move slots should tell?"""

from __future__ import annotations

from typing import Any

import numpy as np

from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.contract.errors import UsageError
from poke_bc.decisions.rows import Rows
from poke_bc.evaluate.predictions import Predictions
from poke_bc.evaluate.subject import Subject
from poke_bc.leaks import check_leaks

HELD_OUT = ("val", "test")


def can_check(split: str) -> None:
    """Raises UsageError for a split that the leak check cannot judge."""
    if split not in HELD_OUT:
        raise UsageError(f"--leaks on split {split}: the check learns from the train split and judges another",
                         hint="--split val or --split test")


def leaks_of(subject: Subject, rows: Rows, predicted: Predictions) -> dict[str, Any]:
    """What `check_leaks` finds on the choices among several moves, as a dict, with `policy`: how often the policy's
    favourite among the legal moves was used, on the same decisions.

    Args:
        subject: whose split is val or test.
        rows, predicted: its decisions whose action is known.

    Raises UsageError where the schema lacks what the check reads.
    """
    report = check_leaks(subject.shards.folder, split=subject.split)
    legal_NM = rows.legal_NA[:, :MOVE_SLOTS]
    keep_N = ((rows.legal_N != 0) & (rows.action_N < MOVE_SLOTS) & (legal_NM.sum(axis=1) > 1)
              & (rows.fields["own_active"].sum(axis=1) == 1))
    favourite_N = np.where(legal_NM, predicted.probability_NA[:, :MOVE_SLOTS], -1).argmax(axis=1)
    return {**report.to_dict(), "policy": float((favourite_N == rows.action_N)[keep_N].mean())}
