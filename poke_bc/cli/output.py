"""Options, tables and the progress bar that commands share."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poke_bc.cli.terminal import is_unicode

if TYPE_CHECKING:
    from rich.console import RenderableType

SHARDS = Path("data/shards")
"""Where commands look for shards by default."""
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Progress = Callable[[str, int, int | None, int], None]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")]


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=not is_unicode(sys.stdout), allow_nan=False))


def open_page(path: Path) -> None:
    """Open an HTML file in the web browser."""
    import webbrowser

    webbrowser.open(path.resolve().as_uri())


def seconds(value: float) -> str:
    """A time from which a rate can be computed again."""
    return f"{value:.2f} s" if value < 10 else f"{value:,.1f} s"


def show(renderable: RenderableType) -> None:
    """Print tables, 120 columns wide in a file or pipe, where rich would assume 80."""
    from rich.console import Console

    console = Console()
    Console(width=None if console.is_terminal else 120).print(renderable)


def show_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of figures."""
    from poke_bc.tables import make_table

    show(make_table(heads, [(row, False) for row in rows]))


@contextmanager
def progress_bar(unit: str, *, quiet: bool) -> Iterator[Progress]:
    """A progress bar on stderr, if that is a terminal: stage, fraction done, results per second, time left.

    Yields a callback for (stage, amount done, total amount, results so far), where results are counted in `unit`.
    """
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn(),
               progress.TextColumn("{task.fields[rate]}"), progress.TimeRemainingColumn())
    with progress.Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("starting", rate="", total=None)
        started: dict[str, float] = {}

        def update(stage: str, done: int, total: int | None, results: int) -> None:
            now = time.monotonic()
            passed = now - started.setdefault(stage, now)
            speed = f" · {results / passed:,.0f}/s" if passed > 1 else ""
            bar.update(task, description=stage, completed=done, total=total, rate=f"{results:,} {unit}{speed}")

        yield update
