"""Tables for the terminal, in one style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def make_table(heads: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]], *, title: str = "",
               text: Sequence[int] = (0,)) -> RenderableType:
    """A table without borders; figures are right-aligned.

    Args:
        heads: column headings; if all are empty, there is no heading row.
        rows: cells, and whether the row is highlighted.
        title: shown above the table.
        text: indices of columns of text, which are left-aligned.
    """
    table = Table(box=None, show_header=any(heads), padding=(0, 1), collapse_padding=True, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place in text else "right", no_wrap=place != len(heads) - 1)
    for cells, highlighted in rows:
        table.add_row(*cells, style="yellow" if highlighted else "")
    return Group(Text(f"\n{title}", style="italic"), table) if title else table
