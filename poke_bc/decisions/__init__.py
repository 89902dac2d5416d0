"""Decisions as the shards tell them, and predictors that have learned nothing.

    rows.py        columns of decisions: action, legal, battle, turn, fields
    damage.py      the strongest move, and kinds of actions
    baselines.py   what is scored beside a policy
"""
