"""The offline wing: raw data -> shards. Polars and Arrow; never imports torch.

    sources.py      which files, opened how (plain, .gz, .zst, stdin)
    blocks.py       newline-aligned blocks: a pure function of the text and a block number
    decode.py       a block -> rows: Arrow where it is sure, the exact reader for the rest
    part.py         what a block leaves on disk: rows, trajectories, quarantine, receipt
    engine.py       blocks over processes, results in order
    assemble.py     parts -> shards, battles whole
    preprocess.py   all of it: plan, run, commit
    split.py        which battle is in which part
"""
