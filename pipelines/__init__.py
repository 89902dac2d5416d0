"""The offline wing: raw data -> shards. Polars and Arrow; never imports torch.

    battles/        battles in: files, records, blocks
    convert.py      battles -> trajectories, in two passes over the input

    sources.py      which files, opened how (plain, .gz, .zst, stdin)
    blocks.py       newline-aligned blocks: a pure function of the text and a block number
    detect.py       which schema to read with
    decode.py       a block -> rows: Arrow where it is sure, the exact reader for the rest
    read_arrow.py   the fast reader
    read_exact.py   the exact one
    decoded.py      what both give
    part.py         what a block leaves on disk: rows, trajectories, quarantine, receipt
    engine.py       blocks over processes, results in order
    assemble.py     parts -> shards, battles whole
    preprocess.py   all of it: plan, run, commit
    split.py        which battle is in which part
"""
