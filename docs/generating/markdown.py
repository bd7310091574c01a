"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell is one line, its bars are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([" ".join(str(c).split()).replace("|", "\\|") for c in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
