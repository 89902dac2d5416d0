"""The scanner: a text of trajectories straight into packed rows, compiled by Numba. Nothing else needs Numba.

    scanner.py   a text -> Decoded; doubtful lines go to the exact reader
    kernel.py    lines, steps, observations
    keys.py      which key comes next, and whether it repeats an earlier step byte for byte
    values.py    values into their columns, checked
    grammar.py   JSON, strictly
    numbers.py   digits -> float64 -> float16, correctly rounded
    machine.py   machine instructions that Numba does not offer
    arrays.py    a schema, rows and memory as flat arrays
    compiling.py how functions are compiled
    cache.py     compiled code on disk
"""
