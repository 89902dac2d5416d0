"""Measure and print. Let nothing else run meanwhile; every group runs in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODULES = {"decode": "decode", "preprocess": "preprocess", "loaders": "loaders", "feeding": "feeding", "gpu": "gpu",
           "growth": "growth", "convert": "converting", "sizes": "sizes", "ranks": "ranks"}
ENVIRONMENT = {"decode": {"POLARS_MAX_THREADS": "1"}}
"""Variables to set for a group before anything is imported."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"all, or some of {', '.join(MODULES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures here, group by group")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write all stored figures as a page")
    parser.add_argument("--add", type=Path, metavar="FILE", help="also store these figures, from another machine")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.json, benchmarks.md and scale.md")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, one round: only checks that it runs")
    given = parser.parse_args()
    if unknown := set(given.groups) - set(MODULES):
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join(MODULES)}")
    if given.quick:
        os.environ["POKE_BC_BENCH_QUICK"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
    groups = given.groups or ([] if given.add else list(MODULES))
    if len(groups) == 1:
        os.environ.update(ENVIRONMENT.get(groups[0], {}))

    from tests.bench import scale, table

    kept = table.FIGURES if given.docs else given.json
    with tempfile.TemporaryDirectory(prefix="poke-bc-bench-") as folder:
        kept = kept or Path(folder) / "figures.json"
        if given.add:
            table.write(table.read(kept) | table.read(given.add), kept)
        failed = []
        if len(groups) == 1:
            _measure(groups[0], kept, Path(folder))
        else:
            failed = [name for name in groups if subprocess.run(
                [sys.executable, "-m", "tests.bench", name, "--json", kept], check=False).returncode]
        figures = table.read(kept)
    if given.markdown:
        given.markdown.write_text(table.page(figures), encoding="utf-8")
    if given.docs:
        docs = table.FIGURES.parent
        (docs / "benchmarks.md").write_text(table.page(figures), encoding="utf-8")
        (docs / "scale.md").write_text(scale.page(figures), encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _measure(name: str, kept: Path, folder: Path) -> None:
    """Measure one group in this process: print its table, store its figures."""
    from tests.bench import table

    if (load := os.getloadavg()[0]) > 0.5:
        print(f"{name}: the load is {load:.1f}; figures are meaningful only if nothing else runs", file=sys.stderr)
    try:
        bench = importlib.import_module(f"tests.bench.{MODULES[name]}")
    except ModuleNotFoundError as error:
        print(f"{name}: skipped: {error}", file=sys.stderr)
        return
    lines = []
    for line in bench.run(folder):
        print(f"{name}: {line.what}: {table.figure(line.ratio)}", file=sys.stderr)
        lines.append(line)
    if not lines:  # no GPU, for instance: figures from another machine stay
        return
    group = table.measured(lines)
    print(f"\n{table.GROUPS[name]}\n{table.about(group)}\n\n{table.text(lines)}\n")
    table.write(table.read(kept) | {name: group}, kept)


if __name__ == "__main__":
    main()
