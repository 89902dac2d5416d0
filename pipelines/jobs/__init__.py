"""The engine of resumable jobs, shared by convert and preprocess.

    inputs.py       which files a job reads
    streams.py      files and pipes, plain or compressed, opened as one kind of stream
    prefetch.py     a thread that makes the next tasks while one is being done
    task_size.py    how much work goes into one task
    executor.py     what runs tasks: the seam where an engine for many machines plugs in
    processes.py    the executor of one machine
    store.py        finished parts with their receipts, so that an interrupted job can resume
"""
