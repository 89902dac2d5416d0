"""Networks: what a player could know -> how likely a human takes each action.

    base.py      Policy: the interface of every network (masked logits, value, act), and its options
    masks.py     sets of actions as bits -> booleans
    registry.py  networks by name, your own too; create_policy
    inputs.py    packed columns -> embeddings and scaled numbers
    mlp.py       the residual MLP
    store.py     a policy as a folder that people can share; load_policy
    card.py      its model card, from card.md
    hub.py       policies on the Hugging Face Hub
    export.py    a policy as an ONNX file

Your own network is a subclass of Policy with its Options: docs/networks.md.
"""

from __future__ import annotations

from poke_bc.policy.base import Policy, PolicyOptions, PolicyOutput, TrainedOn
from poke_bc.policy.registry import POLICIES, create_policy, policy_options, register
from poke_bc.policy.store import check_fits, load_policy, push_policy, save_policy

__all__ = ["POLICIES", "Policy", "PolicyOptions", "PolicyOutput", "TrainedOn", "check_fits", "create_policy",
           "load_policy", "policy_options", "push_policy", "register", "save_policy"]
