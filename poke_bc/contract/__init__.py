"""The ground floor: words and promises that every other part relies on. Imports nothing above it.

    errors.py      what can go wrong, as one tree
    actions.py     the ten actions, and sets of them as bits
    vocabulary.py  name -> id
    schema.py      the table of observation fields; everything about columns derives from it
    nesting.py     how deep a JSON text nests
    trajectory.py  contract 1: one raw JSON line -> one checked trajectory (the exact reference reader)
    rows.py        contract 3: the columns of a shard
    manifest.py    contract 3: the promise about all shards of a data set
    split.py       contract 4: which battle is in which part
    files.py       atomic writes and digests
"""
