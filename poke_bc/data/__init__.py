"""The online wing: shards -> batches. Imports the ground floor only; never polars.

    shards.py    memory-mapped columns of a data set
    dataset.py   ShardDataset: rows of one part of the split, for this project's feeder or your own DataLoader
    batch.py     what a policy is given
    order.py     which row comes at which position: a pure function
    feed.py      BatchFeeder: one gather thread, a ring of reused buffers
"""
