"""Shards -> batches. Imports poke_bc.contract only; never polars.

    shards.py       memory-mapped columns of a data set
    dataset.py      ShardDataset: the selected rows of one split, for BatchFeeder or torch's DataLoader
    sequences.py    the rows around a decision, within its trajectory
    batch.py        Batch: the input of a policy
    permutation.py  a pseudorandom permutation, computed place by place on the host or a device
    order.py        which row comes at which position, for every rank; the window shuffle
    feed.py         BatchFeeder: one gather thread, reused buffers
    modes.py        how buffers are filled: streaming, windowed, resident
    prefetch.py     reads the next shuffle window while the current one is in use
    buffers.py      reused buffers, and the events that guard their reuse
    device.py       the streams, events and graphs that feeding and training need
"""
