"""Networks: what a player could know -> how likely a human takes each action.

    base.py     Policy: what every network promises (masked logits, value, act)
    masks.py    sets of actions as bits -> booleans
    registry.py POLICIES by name; create_policy
    inputs.py   packed columns -> embeddings and scaled numbers
    mlp.py      the residual MLP
    store.py    a policy as a folder that people share; load_policy
    card.py     its model card

A further network is a subclass of Policy in a module of its own, and a line in POLICIES.
"""

from __future__ import annotations

from poke_bc.policy.base import Policy, PolicyOutput
from poke_bc.policy.registry import POLICIES, create_policy
from poke_bc.policy.store import check_fits, load_policy, save_policy

__all__ = ["POLICIES", "Policy", "PolicyOutput", "check_fits", "create_policy", "load_policy", "save_policy"]
