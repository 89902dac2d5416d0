"""The online wing: shards -> batches. Imports the ground floor only; never polars.

    shards.py     memory-mapped columns of a data set
    selection.py  which rows of it are used, in two bytes each
    dataset.py    ShardDataset: rows of one part of the split, for this project's feeder or your own DataLoader
    batch.py      what a policy is given
    order.py      which row comes at which position: a pure function, on the host and on a device
    windows.py    the same for windows of rows that are read in large pieces; reader.py reads them ahead
    device.py     streams, events and graphs, as far as feeding and training need them
    ring.py       reused buffers, and what guards their reuse
    sources.py    how buffers are filled: streamed, windowed, resident
    feed.py       BatchFeeder: one gather thread, a ring of reused buffers
"""
