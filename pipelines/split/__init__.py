"""split: which battle is in which split, for shards and for JSONL files.

    assign.py   views of battles -> their splits
    choose.py   which views take part
    shards.py   a folder of shards: split.json and split.bin
    lines.py    a JSONL file: its lines, copied to FILE.train.jsonl, FILE.val.jsonl and FILE.test.jsonl
    parts.py    those files, committed together
    run.py      whichever it is
"""

from pipelines.split.assign import SplitDone, assign
from pipelines.split.run import split

__all__ = ["SplitDone", "assign", "split"]
