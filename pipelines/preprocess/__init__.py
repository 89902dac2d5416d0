"""preprocess: raw trajectories -> a committed data set of shards.

    tasks.py            the blocks of all inputs, gathered into tasks
    text_blocks.py      newline-aligned blocks of text          parquet_blocks.py   row groups of Parquet files
    detect_schema.py    which schema the observations have
    parts.py            what becomes of a task: rows, trajectories and quarantined lines in a part
    totals.py           sums over all parts
    shard_writer.py     parts -> shards, battles whole
    preprocess_job.py   the job: plan, run, commit
"""

from pipelines.preprocess.preprocess_job import Preprocessed, preprocess

__all__ = ["Preprocessed", "preprocess"]
