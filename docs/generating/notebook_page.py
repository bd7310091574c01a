"""A notebook as a page: its text and its code, without what it printed."""

from __future__ import annotations

from pathlib import Path

import nbformat


def text(path: Path) -> str:
    """The page of one notebook."""
    cells = nbformat.read(path, as_version=4).cells
    parts = [cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
             for cell in cells]
    note = (f"This page is the notebook `examples/{path.name}` of the project, which a test runs "
            f"from top to bottom. Open it with `jupyter lab examples/{path.name}`.")
    return "\n\n".join([parts[0], note, *parts[1:]]) + "\n"
