"""split: which battle is in which split, for shards and for JSONL files.

    assign.py   views of battles -> their splits
    choose.py   which views take part, or are learned from
    shards.py   a folder of shards: split.json and split.bin
    lines.py    a JSONL file: its lines, copied to FILE.train.jsonl, FILE.val.jsonl and FILE.test.jsonl
    parts.py    those files, committed together
    run.py      whichever it is
"""

from pipelines.split.assign import SplitDone, assign
from pipelines.split.choose import chosen_trajectories
from pipelines.split.run import split

__all__ = ["SplitDone", "assign", "chosen_trajectories", "split"]
