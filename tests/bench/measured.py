"""One job in a process of its own, with its time and peak memory: `run` from outside, `main` inside.

The peak is VmHWM of each process, summed where there are several (an upper bound). Not ru_maxrss: a child's starts
at its parent's peak.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.bench.common import ROOT, SAMPLE


def run(*arguments: object) -> dict[str, float]:
    """A job of JOBS by name, with its arguments: seconds and megabytes, and what else it tells."""
    command = [sys.executable, "-m", "tests.bench.measured", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def preprocess(raw: str, out: str, workers: str) -> dict[str, float]:
    from pipelines.preprocess import preprocess

    if workers == "1":  # what is done once a process is done by now; a parent of workers would never do it
        preprocess([SAMPLE], out, workers=1)
    shutil.rmtree(out, ignore_errors=True)  # or it would keep what it made before
    started = time.perf_counter()
    preprocess([raw], out, workers=int(workers))
    return {"seconds": time.perf_counter() - started}


def feed(shards: str, epochs: str) -> dict[str, float]:
    """Open a data set, go through epochs of it, and begin anew after as many."""
    from poke_bc import BatchFeeder, ShardDataset

    started = time.perf_counter()
    data = ShardDataset(shards)
    opened = time.perf_counter() - started
    samples = int(epochs) * len(data)

    def drain(start: int, stop: int) -> float:
        started = time.perf_counter()
        with BatchFeeder(data, 1024, seed=1, start=start, stop=stop) as feeder:
            for batch in feeder:
                batch.action.sum()
        return time.perf_counter() - started

    drain(0, len(data))  # maps every page
    seconds = drain(0, samples)
    firsts = [drain(samples, samples + 1) for _ in range(20)]
    return {"opened": opened, "seconds": seconds, "samples": samples, "first": sorted(firsts)[len(firsts) // 2]}


JOBS: dict[str, Any] = {"preprocess": preprocess, "feed": feed}


def _peak(process: str) -> int:
    """VmHWM in KiB; 0 once the process is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) if found else 0
    except OSError:
        return 0


def _watch(done: threading.Event, peaks: dict[str, int]) -> None:
    """Peaks of the processes that this one starts."""
    while not done.wait(0.05):
        for children in Path("/proc/self/task").glob("*/children"):
            for process in children.read_text().split():
                peaks[process] = max(peaks.get(process, 0), _peak(process))


def main() -> None:
    name, *arguments = sys.argv[1:]
    done, peaks = threading.Event(), dict[str, int]()
    watcher = threading.Thread(target=_watch, args=(done, peaks))
    watcher.start()
    try:
        found = JOBS[name](*arguments)
    finally:
        done.set()
        watcher.join()
    print(json.dumps(found | {"megabytes": (_peak("self") + sum(peaks.values())) * 1024 / 1e6}))


if __name__ == "__main__":
    main()
