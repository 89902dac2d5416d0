"""`python -m tests.bench [convert] [preprocess] [feeding]`; all where none is named."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does


def main() -> None:
    from tests.bench import converting, feeding, preprocess

    benches = {"convert": converting.run, "preprocess": preprocess.run, "feeding": feeding.run}
    wanted = sys.argv[1:] or list(benches)
    if unknown := set(wanted) - set(benches):
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(benches)}")
    if (load := os.getloadavg()[0]) > 0.5:
        print(f"warning: the load is {load:.1f}; figures mean something only when nothing else runs", file=sys.stderr)
    print(f"{'what (ours : theirs)':<58} {'ours':>12} {'theirs':>12} {'':<12} {'ratio':>8} (lowest-highest)")
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="poke-bc-bench-") as folder:
            for line in benches[name](Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
