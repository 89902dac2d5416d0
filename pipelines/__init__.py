"""The offline wing: raw data -> shards. Polars and Arrow; never imports torch.

    battles/        battles in: files, records, blocks
    convert.py      battles -> trajectories, in two passes over the input

    sources.py      which files, opened how (plain, .gz, .zst, stdin)
    blocks.py       newline-aligned blocks: a pure function of the text and a block number
    parquet.py      Parquet files: what may be wrong with one, and its blocks
    ahead.py        a thread that reads the next blocks while one is decoded
    work.py         all blocks of all sources, whichever sort they are
    detect.py       which schema to read with
    decode.py       a block -> rows: a quick reader where it is sure, the exact reader for the rest
    scan/           the quickest reader of text: compiled, knows the schema
    read_arrow.py   a quick reader of text
    read_table.py   Parquet's rows: at once where that is sure, else one by one
    from_arrow.py   Arrow arrays -> rows, with every check
    read_exact.py   the exact reader
    decoded.py      what all of them give
    part.py         what a block leaves on disk: rows, trajectories, quarantine, receipt
    ledger.py       what is kept of all parts
    engine.py       blocks over processes, results in order
    assemble.py     parts -> shards, battles whole
    preprocess.py   all of it: plan, run, commit
    split.py        which battle is in which part
"""
