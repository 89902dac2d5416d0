"""Measured figures: kept in docs/benchmarks.json group by group, shown on the terminal and in docs/benchmarks.md.

    python -m tests.bench.table docs/benchmarks.json > docs/benchmarks.md
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.common import QUICK, ROOT, Line

FIGURES = ROOT / "docs" / "benchmarks.json"
LIBRARIES = ("torch", "numpy", "pyarrow", "polars", "numba", "pysimdjson", "orjson", "datasets", "litdata",
             "mosaicml-streaming", "tensordict", "poke-env")
GROUPS = {
    "decode": "Text to packed rows, one core, in memory",
    "preprocess": "`preprocess`: read, decode, check, write, hash, fsync",
    "loaders": "Feeding: parsed rows, each loader from its own format",
    "feeding": "Feeding against parsing in `__getitem__`; training against a loop without input",
    "gpu": "On a GPU",
    "growth": "Growth: 4 and 16 times as much; 1.00 means linear time, constant memory",
    "convert": "`convert`",
    "sizes": "Sizes",
    "ranks": "Training on two processes",
}
"""Title of each group, in the order of the page."""


@dataclass(frozen=True)
class Group:
    """Lines of one group, measured in one run."""

    date: str
    machine: str
    versions: str
    quick: bool
    lines: tuple[Line, ...]


def measured(lines: Iterable[Line]) -> Group:
    """Lines measured here and now."""
    return Group(datetime.date.today().isoformat(), machine(), versions(), QUICK, tuple(lines))


def machine() -> str:
    """Processor, cores and memory; no name."""
    processor = _first(r"model name\s*: (.+)", "/proc/cpuinfo") or platform.machine()
    memory = int(_first(r"MemTotal:\s+(\d+)", "/proc/meminfo") or 0) / 1024**2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor.strip()}, {cores} cores, {memory:.0f} GiB{gpu}"


def _first(pattern: str, path: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return None
    return found[1] if found else None


def about(group: Group) -> str:
    """When, where and with what it was measured."""
    return textwrap.fill(f"{group.date}. {group.machine}. {group.versions}.", 118)


def versions() -> str:
    """Python and the libraries that are installed."""
    found = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def read(path: Path = FIGURES) -> dict[str, Group]:
    """Groups of a file of figures; none where it is missing."""
    if not path.exists():
        return {}
    return {name: Group(**group | {"lines": tuple(
        Line(**line | {"spread": tuple(line["spread"])}) for line in group["lines"])})
        for name, group in json.loads(path.read_text("utf-8")).items()}


def write(groups: dict[str, Group], path: Path = FIGURES) -> None:
    """Groups are stored in the order of the page."""
    order = [name for name in GROUPS if name in groups] + sorted(set(groups) - set(GROUPS))
    path.write_text(json.dumps({name: asdict(groups[name]) for name in order}, indent=1) + "\n", encoding="utf-8")


HEADER = ("what", "against", "ours", "theirs", "unit", "ratio", "spread", "rounds", "cache", "target", "holds")


def cells(line: Line) -> tuple[str, ...]:
    """A line as text, column by column."""
    low, high = line.spread
    holds = {True: "yes", False: "NO", None: ""}[line.holds]
    return (*line.names, figure(line.ours), figure(line.theirs), line.unit, figure(line.ratio),
            f"{figure(low)}-{figure(high)}" if line.rounds > 1 else "", str(line.rounds), line.cache,
            "" if line.holds is None else line.target, holds)


def figure(value: float) -> str:
    """Three digits that count, or all before the point.

    >>> figure(1234567.8), figure(1234.5), figure(45.67), figure(0.01234)
    ('1,234,568', '1,234', '45.7', '0.0123')
    """
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


_RIGHT = {"ratio", "spread", "rounds"}


def text(lines: Sequence[Line]) -> str:
    """An aligned table for the terminal."""
    rows = [HEADER, *map(cells, lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADER))]
    right = [name in _RIGHT or place in (2, 3) for place, name in enumerate(HEADER)]
    return "\n".join("  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in
                               zip(row, widths, right, strict=True)).rstrip() for row in rows)


def page(groups: dict[str, Group]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks", "",
        "*Generated by `just bench-docs` from `docs/benchmarks.json`; do not edit.*", "",
        "Each row compares ours with a peer that does the same job. After a warm-up that does not count, the jobs run",
        "in turn for several rounds, each round starting with a different job. Rates are medians over the rounds; the",
        "ratio is the median of the rounds' ratios, and the spread is their lowest and highest. Before anything is",
        "timed, the outputs are compared: columns byte for byte where the peer produces rows, sums over an epoch where",
        "it feeds. *warm*: the input is in the page cache; *cold*: it is evicted before every job. A target without a",
        "unit applies to the ratio, one with a unit to ours. `just bench` measures on your machine: expect similar",
        "ratios, not similar rates.", ""]
    for name, group in groups.items():
        lines += [f"## {GROUPS.get(name, name)}", "",
                  f"`just bench {name}`.", about(group), ""]
        if group.quick:
            lines += ["**A quick run on tiny inputs: it only shows that the benchmark works.**", ""]
        lines += [f"| {' | '.join(HEADER)} |", "|---|---|--:|--:|---|--:|--:|--:|---|---|---|",
                  *(f"| {' | '.join(cells(line))} |" for line in group.lines), ""]
    for name in (name for name in GROUPS if name not in groups):
        lines += [f"## {GROUPS[name]}", "", f"Not measured yet: `just bench {name}`.", ""]
    return "\n".join(lines)


def main() -> None:
    sys.stdout.write(page(read(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
