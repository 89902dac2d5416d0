"""The scanner: a text of trajectories straight into packed rows, compiled by Numba. Needs Numba; nothing else does.

    read.py      a text -> Decoded; doubtful lines go to the exact reader
    kernel.py    lines, steps, observations
    keys.py      which key stands here, and whether all is as in an earlier step
    values.py    values into their columns, checked
    plan.py      a schema, rows and memory as flat arrays
    grammar.py   JSON, strictly
    numbers.py   digits -> float64 -> float16, correctly rounded
    machine.py   instructions that Numba has no name for
    compiling.py how functions are compiled, and where what comes of it is kept
"""
