"""Definitions and formats that everything else relies on. Imports nothing else of the project.

    errors.py      every error that a user can cause
    actions.py     the ten actions, and sets of them as bits
    vocabulary.py  name -> id
    field.py       one key of the observation
    schema.py      the table of observation fields; everything about columns derives from it
    nesting.py     how deep a JSON text nests
    trajectory.py  contract 1: one raw JSON line -> one checked trajectory (the exact reference reader)
    rows.py        contract 3: the columns of a shard
    manifest.py    contract 3: the description of a data set and all its files
    split.py       contract 4: which battle is in which split
    files.py       atomic writes and digests
"""
