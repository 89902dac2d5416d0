"""preprocess: raw trajectories -> a committed data set of shards.

    tasks.py            the blocks of all inputs, gathered into tasks
    text_blocks.py      newline-aligned blocks of text          parquet_blocks.py   row groups of Parquet files
    parquet_footers.py  footers that would end this process
    beginnings.py       what the inputs begin with              battles_given.py    battles in place of trajectories
    detect_schema.py    which schema the observations have
    parts.py            a task -> a part: rows, trajectories and quarantined lines
    receipts.py         what a part was made from, and what is in it
    earlier.py          what the next run takes over            kept_rows.py        rows that are there already
    tally.py            counts of rows, labels, keys and quarantined lines
    totals.py           sums over all parts
    shard_writer.py     parts -> shards, never splitting a battle
    own_files.py        which files of the folder may be replaced
    uploaded.py         data sets under URLs
    preprocess_job.py   the job: plan, run, commit
"""

from pipelines.preprocess.preprocess_job import Preprocessed, preprocess

__all__ = ["Preprocessed", "preprocess"]
