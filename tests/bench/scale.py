"""docs/scale.md: what 5 million battles cost, calculated from what was measured.

    python -m tests.bench.scale docs/benchmarks.json > docs/scale.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.jobs.task_size import units_per_task
from pipelines.preprocess.tasks import BLOCKS_PER_TASK
from pipelines.preprocess.text_blocks import BLOCK_BYTES
from tests.bench.common import Line
from tests.bench.table import Group, figure, read

BATTLES = 5_000_000
REPLAYS = (26_722, 1_697_844)
"""Human battles that were converted, and decisions in them: docs/experiments.md, 2026-11-23."""
DECISIONS = BATTLES * REPLAYS[1] / REPLAYS[0]
CORES, MACHINES = 16, 10


class MissingError(KeyError):
    """A figure that was not measured; the argument is the group that measures it."""


def line(groups: dict[str, Group], group: str, start: str) -> Line:
    """The first line of a group whose words begin so. Raises MissingError."""
    for each in groups[group].lines if group in groups else ():
        if each.what.startswith(start):
            return each
    raise MissingError(group)


@dataclass(frozen=True)
class Figures:
    """What the page is calculated from."""

    convert: tuple[float, float]
    """Battles/s with one process and with two."""
    preprocess: tuple[float, float]
    """Decisions/s (singles) with one process and with two; two by the ratio that was measured on the basic schema."""
    text: float
    """Bytes per decision as .jsonl."""
    packed: float
    """Bytes per decision as .jsonl.zst."""
    row: float
    """Bytes per decision in the shard."""
    memory: tuple[float, float]
    """Peak of preprocess in MB with one process and with two."""
    growth: float
    """Peak with two processes on the largest input measured : on a sixteenth of it."""
    memos: tuple[float, float]
    """Bytes per decision of the memos of convert and preprocess."""
    part: float
    """Bytes of memory that preprocess keeps for each part."""
    battle: float
    """Bytes of memory that convert keeps for each battle."""
    train: float
    """Decisions/s of `train` on processors, in two processes of one thread."""

    @classmethod
    def of(cls, groups: dict[str, Group]) -> Figures:
        """Raises MissingError."""
        convert = line(groups, "convert", "convert, 2 processes")
        one = line(groups, "preprocess", "preprocess singles, 1 process").ours
        two = line(groups, "preprocess", "preprocess, 2 processes").ratio
        return cls(
            convert=(convert.theirs, convert.ours),
            preprocess=(one, one * two),
            text=line(groups, "sizes", "bytes of trajectories, .jsonl.zst").theirs,
            packed=line(groups, "sizes", "bytes of trajectories, .jsonl.zst").ours,
            row=line(groups, "sizes", "bytes of rows").ours,
            memory=(line(groups, "growth", "peak memory of preprocess, 1 process, 16 x").ours,
                    line(groups, "growth", "peak memory of preprocess, 2 processes, 16 x").ours),
            growth=line(groups, "growth", "peak memory of preprocess, 2 processes, 16 x").ratio,
            memos=(line(groups, "sizes", "bytes of convert's memo").ours,
                   line(groups, "sizes", "bytes of preprocess's memo").ours),
            part=line(groups, "sizes", "memory of preprocess for a part").ours,
            battle=line(groups, "sizes", "memory of convert for a battle").ours,
            train=line(groups, "ranks", "training, default network").ours)


def rates(measured: tuple[float, float]) -> tuple[float, float, float]:
    """Rate on two cores (measured); on 16 at worst, as if what two processes lose were serial; on 16 at best.

    >>> [round(rate, 1) for rate in rates((10.0, 20.0))]
    [20.0, 160.0, 160.0]
    >>> [round(rate, 1) for rate in rates((10.0, 16.0))]
    [16.0, 33.7, 128.0]
    """
    one, two = measured
    serial = min(max(2 * one / two - 1, 0), 1)  # Amdahl: two / one = 1 / (serial + (1 - serial) / 2)
    return two, one / (serial + (1 - serial) / CORES), two * CORES / 2


def hours(amount: float, rate: float) -> float:
    """How long an amount takes at a rate per second."""
    return amount / rate / 3600


def parts_of(blocks: float) -> int:
    """How many parts preprocess makes of so many blocks of one input.

    >>> [parts_of(blocks) for blocks in (1, 64, 66, 128, 1_000_000)]
    [1, 64, 65, 96, 62628]
    """
    done = parts = 0
    while done < blocks:
        done, parts = done + units_per_task(done, BLOCKS_PER_TASK), parts + 1
    return parts


def page(groups: dict[str, Group]) -> str:
    """docs/scale.md."""
    try:
        return _page(Figures.of(groups), groups)
    except MissingError as missing:
        return f"# Scale\n\nNot calculated: `just bench-docs {missing.args[0]}` has not been run.\n"


def _page(f: Figures, groups: dict[str, Group]) -> str:
    parts = parts_of(DECISIONS * f.text / BLOCK_BYTES)
    receipts = parts * f.part / 1e9
    index = 2 * BATTLES * 16 / 1e9
    two, worst, best = rates(f.convert)
    quick = any(group.quick for group in groups.values())
    machines = sorted({groups[name].machine for name in ("convert", "preprocess", "sizes", "growth", "feeding")})
    time = [
        _time("`convert`", BATTLES, f.convert),
        _time("`preprocess`", DECISIONS, f.preprocess),
    ]
    return "\n".join([
        "# What 5 million battles cost", "",
        "*Generated by `just bench-docs` from `docs/benchmarks.json`; do not edit.*", "",
        *(["**Calculated from a quick run on tiny inputs: the arithmetic is right, the figures mean nothing.**", ""]
          if quick else []),
        "These figures are extrapolated: nobody has converted 5 million battles yet. The rates and sizes were measured",
        "on small inputs (see [benchmarks.md](benchmarks.md)); the rest is arithmetic, with its assumptions stated.",
        f"Measured on: {'; '.join(machines)}.", "",
        "## Assumptions", "",
        f"- A battle has {REPLAYS[1] / REPLAYS[0]:.1f} decisions, counting both players: {REPLAYS[1]:,} decisions in "
        f"{REPLAYS[0]:,}",
        f"  human battles. 5,000,000 battles are 10,000,000 trajectories and {DECISIONS:,.0f} decisions.",
        "- Observations follow the singles schema, as `convert` writes them, with the bytes per decision measured on",
        "  400 battles.",
        "- Only two cores were measured. *16 cores, at worst* assumes that whatever two processes fall short of twice",
        "  the speed of one is serial work (Amdahl's law); *at best* assumes that 16 processes lose no more than two.",
        f"- *{MACHINES} machines* are {MACHINES} independent runs, each with a tenth of the battles and {CORES} cores;",
        "  nothing is shared, and the results are not joined.",
        "- Disks keep up.", "",
        "## Time", "",
        f"| hours | 2 cores | {CORES} cores, at worst | at best | {MACHINES} machines of {CORES} cores |",
        "|---|--:|--:|--:|--:|", *time, "",
        f"`convert`: 5,000,000 battles / {figure(f.convert[1])} battles/s on two cores / 3,600 = "
        f"{figure(hours(BATTLES, two))} hours;",
        f"one process does {figure(f.convert[0])} battles/s, and 16 cores would do {figure(worst)} to {figure(best)}.",
        f"`preprocess`: {DECISIONS:,.0f} decisions / {figure(f.preprocess[1])} decisions/s on two cores / 3,600.",
        f"One process was measured with the singles schema ({figure(f.preprocess[0])} decisions/s), the speed-up from",
        f"a second one ({figure(f.preprocess[1] / f.preprocess[0])}x) with the basic schema.", "",
        "## Bytes on disk", "",
        "| | bytes per decision, measured | 5 million battles | each of ten machines |", "|---|--:|--:|--:|",
        _bytes("trajectories, `.jsonl`", f.text),
        _bytes("trajectories, `.jsonl.zst`", f.packed),
        _bytes("rows in shards", f.row),
        _bytes("memo of `convert`, for the next run", f.memos[0]),
        _bytes("memo of `preprocess`", f.memos[1]), "",
        f"Bytes = {DECISIONS:,.0f} decisions x bytes per decision. While `preprocess` runs, its finished parts take as",
        "much space again as the shards that are written from them. A plain `.jsonl` is never needed on disk:",
        "`convert` writes `.jsonl.zst`, and `preprocess` reads it.", "",
        "## Memory of `preprocess`", "",
        "| | GB |", "|---|--:|",
        f"| measured peak, one process | {f.memory[0] / 1e3:.2f} |",
        f"| measured peak, two processes together | {f.memory[1] / 1e3:.2f} |",
        f"| 16 processes: 8 x the peak of two | {8 * f.memory[1] / 1e3:.2f} |",
        f"| kept for each trajectory: 10,000,000 x 16 bytes | {index:.2f} |",
        f"| kept for each part: {parts:,} x {figure(f.part)} bytes | {receipts:.2f} |",
        f"| total, two processes | {f.memory[1] / 1e3 + index + receipts:.2f} |",
        f"| total, 16 processes | {8 * f.memory[1] / 1e3 + index + receipts:.2f} |",
        f"| each of ten machines, 16 processes | {8 * f.memory[1] / 1e3 + (index + receipts) / MACHINES:.2f} |", "",
        f"A part is made from up to {BLOCKS_PER_TASK} blocks of 8 MiB of text. With 16 times the input, the peak of",
        f"two processes was {figure(f.growth)} times as high. What is kept for each trajectory and part is too small",
        "to show up there, so it is added from its size.", "",
        f"`convert` keeps {figure(f.battle)} bytes for each battle, by which it finds other records of it: "
        f"{BATTLES * f.battle / 1e9:.2f} GB.", "",
        "## Training", "",
        f"One epoch over all decisions, at the {figure(f.train)} decisions/s of the default network in two processes:",
        f"{DECISIONS:,.0f} / {figure(f.train)} / 3,600 = {figure(hours(DECISIONS, f.train))} hours. Rows without a",
        "choice are left out, so this is an upper bound. Feeding needs 4 bytes of memory for each row that is",
        f"selected, {4 * DECISIONS / 1e9:.2f} GB; the rows stay in the files. 100 million rows were really fed once:",
        "[experiments.md](experiments.md).",
        "Rows that do not fit into the page cache come from the disk, which was not measured at this size.", "",
    ])


def _time(name: str, amount: float, measured: tuple[float, float]) -> str:
    two, worst, best = (figure(hours(amount, rate)) for rate in rates(measured))
    tenth = [figure(hours(amount, rate) / MACHINES) for rate in rates(measured)[1:]]
    return f"| {name} | {two} | {worst} | {best} | {tenth[1]} to {tenth[0]} |"


def _bytes(name: str, size: float) -> str:
    whole = size * DECISIONS
    return f"| {name} | {figure(size)} | {_size(whole)} | {_size(whole / MACHINES)} |"


def _size(size: float) -> str:
    return f"{size / 1e12:.2f} TB" if size >= 1e12 else f"{size / 1e9:.0f} GB"


def main() -> None:
    sys.stdout.write(page(read(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
