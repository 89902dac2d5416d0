"""Offline data pipelines: battles -> trajectories -> shards. Uses Polars and Arrow; never imports torch.

    jobs/         the engine of resumable jobs: inputs, tasks, a store of finished parts, processes
    convert/      Showdown battles -> trajectories
    preprocess/   trajectories -> shards
    decode/       text and tables -> rows
    split.py      which battle is in which split
"""
