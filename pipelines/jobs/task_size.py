"""The size of a task.

A task should take between some hundred milliseconds and a second: each leaves a file and a receipt, and millions of
battles should not leave hundreds of thousands of them. Yet a small input must still make enough tasks for all workers.
So the size of a task grows with its place in the input and depends on nothing else: neither on the number of workers
nor on data appended to the input later.
"""

from __future__ import annotations

_SAME_SIZE = 64


def units_per_task(unit: int, most: int) -> int:
    """Number of units in the task that begins with number `unit`: a power of two up to `most`.

    >>> [units_per_task(unit, 16) for unit in (0, 63, 64, 128, 256, 512, 1_000_000)]
    [1, 1, 2, 4, 8, 16, 16]
    """
    return min(most, 1 << (unit // _SAME_SIZE).bit_length())
