"""Tables of a terminal: facts by name, and columns with a header. Their text may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table as Table  # the tables that the functions here return
from rich.text import Text

from openretina_cli.text import one_line

STYLES = {"warning": "yellow", "folder": "bold"}
"""Facts that stand out."""


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """A row per fact, its name before it; long values go on in the next line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in rows:
        style = STYLES.get(name, "")
        table.add_row(Text(name, style="dim"), Text(one_line(value), overflow="fold", style=style))
    return table


def columns_table(
    names: Sequence[str], numbers: Sequence[str] = (), title: str | None = None, whole: Sequence[str] = ()
) -> Table:
    """A table with a header and no rows yet; to those that `add_row` adds, text is shown as it is.

    Args:
        names: of the columns.
        numbers: those of them that hold numbers, which are set to the right and never broken.
        title: what stands above.
        whole: further columns that are never broken.
    """
    table = Table(title=title, box=None, padding=(0, 2, 0, 0))
    for name in names:
        right = name in numbers
        table.add_column(
            name,
            header_style="bold",
            justify="right" if right else "left",
            no_wrap=right or name in whole,
            overflow="fold",
        )
    return table
