"""Sets of actions: bits, as the shards hold them -> booleans, as the network needs them.

    A the ten actions
"""

from __future__ import annotations

import torch
from torch import Tensor

from poke_bc.contract.actions import NUM_ACTIONS


def action_set(bits: Tensor) -> Tensor:
    """Bits [...] of any integer type -> booleans [..., A].

    >>> action_set(torch.tensor([513]))[0].nonzero().flatten().tolist()
    [0, 9]
    """
    places_A = torch.arange(NUM_ACTIONS, device=bits.device)
    return torch.bitwise_right_shift(bits.to(torch.int64)[..., None], places_A) & 1 != 0


def legal_actions(legal: Tensor) -> Tensor:
    """Legal bits [...] -> booleans [..., A]; where none were recorded, all ten are allowed.

    >>> legal_actions(torch.tensor([0, 1])).sum(dim=1).tolist()
    [10, 1]
    """
    return action_set(legal) | (legal == 0)[..., None]
