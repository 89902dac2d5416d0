"""How well a policy predicts what people did, in figures that can be believed.

    subject.py       a policy, with decisions that it has not seen
    predictions.py   its output for each decision: probabilities, value, gimmick
    judge.py         evaluate(): the result, a dict
    compare.py       compare(): runs on the same decisions
    slices.py        decisions by kind, turn, rating, format ...
    bootstrap.py     95% intervals, over battles
    guessing.py      the leak check on the same decisions
    heads.py         the value head and the gimmick head
    confusion.py     predicted against chosen actions
    calibration.py   reliability and AUC
    tables.py        the result for a terminal

Rows of decisions and the baselines are in poke_bc/decisions/, since training scores baselines as well.

For other code, step by step; everything is in the order of `subject.dataset`, whose rows hold censored choices too:

    subject = open_subject("runs/bc", split="val")
    predicted = predict(subject.policy, subject.dataset, device=subject.device)
    predicted.probability_NA, predicted.best_N, predicted.value_N, predicted.win_N, predicted.gimmick_NMG
    result = judge(subject, predicted)                    # what evaluate() returns
    rows = subject.rows                                   # read_rows(dataset): action, legal, battle, turn, fields
    slices_of(rows.at(rows.is_observed_N), subject.shards)["kind"].names
    Bootstrap(rows.battle_N).intervals(values_NV)         # [G, V, 2]: low and high

Other rows, such as all of a battle, too: `predict(policy, open_rows(policy, shards, "val", every_row=True), ...)`.
"""

from __future__ import annotations

from poke_bc.callable_module import callable_as
from poke_bc.decisions.baselines import baselines
from poke_bc.decisions.rows import Rows, read_rows
from poke_bc.evaluate.bootstrap import Bootstrap
from poke_bc.evaluate.compare import compare, paired
from poke_bc.evaluate.judge import evaluate, judge
from poke_bc.evaluate.predictions import Predictions, open_rows, predict
from poke_bc.evaluate.slices import Partition, slices_of
from poke_bc.evaluate.subject import Subject, open_subject
from poke_bc.evaluate.tables import kinds_of_slices, render, render_comparison

__all__ = ["Bootstrap", "Partition", "Predictions", "Rows", "Subject", "baselines", "compare", "evaluate", "judge",
           "kinds_of_slices", "open_rows", "open_subject", "paired", "predict", "read_rows", "render",
           "render_comparison", "slices_of"]

callable_as(evaluate, __name__)
