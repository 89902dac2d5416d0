"""Tables of figures for people, in one style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def make_table(heads: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]], *, title: str = "",
               text: Sequence[int] = (0,)) -> RenderableType:
    """A table without lines whose figures are aligned to the right.

    Args:
        heads: of the columns; all empty: no line of heads.
        rows: cells, and whether the row is highlighted.
        title: above the table.
        text: columns of text, aligned to the left.
    """
    table = Table(box=None, show_header=any(heads), padding=(0, 1), collapse_padding=True, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place in text else "right", no_wrap=place != len(heads) - 1)
    for cells, highlighted in rows:
        table.add_row(*cells, style="yellow" if highlighted else "")
    return Group(Text(f"\n{title}", style="italic"), table) if title else table
