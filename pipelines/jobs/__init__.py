"""The engine of resumable jobs, shared by convert and preprocess.

    inputs.py       which files a job reads
    urls.py         files under URLs, read where they are, and outputs uploaded
    streams.py      files and pipes, plain or compressed, opened as one kind of stream
    prefetch.py     a thread that makes the next tasks while the current one runs
    task_size.py    the size of a task
    executor.py     the interface of what runs tasks
    engines.py      the executors that there are
    processes.py    the executor for one machine
    dask_cluster.py the executor for a Dask cluster
    interrupts.py   Ctrl-C and SIGTERM at moments in which they would do harm
    store.py        finished parts with their receipts, so that an interrupted job can resume
    memo.py         what a finished job leaves, so that the next one does only what is new
"""
