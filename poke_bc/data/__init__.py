"""Shards -> batches. Imports poke_bc.contract only; never polars.

    shards.py       memory-mapped columns of a data set
    dataset.py      ShardDataset: the selected rows of one split, for BatchFeeder or torch's DataLoader
    sequences.py    the rows around a decision, within its trajectory
    batch.py        Batch: what a policy is given
    permutation.py  a pseudorandom permutation, computed place by place on the host or a device
    order.py        which row comes at which position, for every rank; the window shuffle
    feed.py         BatchFeeder: one gather thread, reused buffers
    modes.py        how buffers are filled: streaming, windowed, resident
    prefetch.py     reads the next shuffle window while this one is handed out
    buffers.py      reused buffers, and what guards their reuse
    device.py       streams, events and graphs, as far as feeding and training need them
"""
