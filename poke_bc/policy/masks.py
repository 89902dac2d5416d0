"""Sets of actions: bits, as the shards hold them -> booleans, as the network needs them.

    B decisions   A the ten actions
"""

from __future__ import annotations

import torch
from torch import Tensor

from poke_bc.contract.actions import NUM_ACTIONS


def action_set(bits_B: Tensor) -> Tensor:
    """Bits [B] of any integer type -> booleans [B, A].

    >>> action_set(torch.tensor([513]))[0].nonzero().flatten().tolist()
    [0, 9]
    """
    places_A = torch.arange(NUM_ACTIONS, device=bits_B.device)
    return (bits_B.to(torch.int64)[:, None] >> places_A) & 1 != 0


def open_actions(legal_B: Tensor) -> Tensor:
    """Legal bits [B] -> booleans [B, A]; where nothing was recorded, all ten are open.

    >>> open_actions(torch.tensor([0, 1])).sum(dim=1).tolist()
    [10, 1]
    """
    return action_set(legal_B) | (legal_B == 0)[:, None]
