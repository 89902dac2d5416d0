"""What the score of some battles says about strength."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def wilson(wins: float, battles: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a win rate; a tie counts half a win.

    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    if not battles:
        return (0.0, 1.0)
    rate, z2 = wins / battles, Z_95**2 / battles
    middle = (rate + z2 / 2) / (1 + z2)
    half = math.sqrt(rate * (1 - rate) * z2 + z2**2 / 4) / (1 + z2)
    return (max(middle - half, 0.0), min(middle + half, 1.0))
