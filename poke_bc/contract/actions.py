"""The ten actions of singles, and sets of them as bits.

    action 0-3   use the move in slot 0-3 of the active Pokémon
    action 4-9   switch to own team slot 0-5

Sets of actions (legal masks, candidates of a censored choice) are 16-bit integers: bit a stands for
action a. 0 means "not recorded", since every decision has at least one legal action.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOVE_SLOTS = 4
TEAM_SLOTS = 6
NUM_ACTIONS = MOVE_SLOTS + TEAM_SLOTS
NO_LABEL = -1
"""Value of the `action` column where the choice was not observed."""

ALL_ACTIONS = (1 << NUM_ACTIONS) - 1
ACTION_NAMES = (*(f"move {slot}" for slot in range(MOVE_SLOTS)), *(f"switch {slot}" for slot in range(TEAM_SLOTS)))

LABELS = ("observed", "censored", "none")
"""How much of a choice was observed: the action itself, only the actions it may have been, or nothing."""

GIMMICKS = ("none", "mega", "z", "dynamax", "tera")
"""What was activated together with a move; the `gimmick` column holds the index."""

_POWERS_A = (1 << np.arange(NUM_ACTIONS)).astype(np.uint16)


def has_choice(legal: Any) -> Any:
    """Whether more than one action was legal, or none is recorded: bits [N] -> booleans [N], an array or a tensor.

    >>> has_choice(np.array([0, 1, 3, 512], np.uint16)).tolist()
    [True, False, True, False]
    """
    return (legal == 0) | ((legal & (legal - 1)) != 0)


def pack_actions(actions_NA: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Booleans [N, 10] -> bits [N].

    >>> pack_actions(np.eye(10, dtype=bool)[[0, 9]]).tolist()
    [1, 512]
    """
    packed: NDArray[np.uint16] = (actions_NA.astype(np.uint16) * _POWERS_A).sum(axis=1, dtype=np.uint16)
    return packed


def unpack_actions(bits_N: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Bits [N] -> booleans [N, 10].

    >>> unpack_actions(np.array([512], dtype=np.uint16))[0].nonzero()[0].tolist()
    [9]
    """
    unpacked: NDArray[np.bool_] = (bits_N[:, None] & _POWERS_A) != 0
    return unpacked
