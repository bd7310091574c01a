"""The report for terminals and diffs: Markdown, the same bytes for the same evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rowgraph.reports.tables import Band, ReportTable, text_of

SPECIAL = re.compile(r"([\\`*<>\[\]|#$])")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def escape(text: object) -> str:
    """Text in which nothing is markup; underscores inside words are none."""
    return SPECIAL.sub(r"\\\1", CONTROL.sub(" ", str(text)))


def cell(text: object) -> str:
    """A table's cell: brackets of intervals stay readable, what would end the cell does not."""
    return CONTROL.sub(" ", str(text)).replace("\\", "\\\\").replace("|", "\\|").replace("<", "\\<")


def table(content: ReportTable, level: int = 2) -> list[str]:
    """Lines of a table with its heading; none where it has no rows."""
    if content.is_empty:
        return []
    # What can only be drawn has no text in any row.
    lines = [row for row in content.rows if not isinstance(row, Band)]
    kept = [i for i, name in enumerate(content.head)
            if name != "drawn" or any(text_of(row[i]) for row in lines)]
    head = [content.head[i] for i in kept]
    out = [f"{'#' * level} {escape(content.title)}", ""]
    if content.legend:
        out += [escape(content.legend), ""]
    out += ["| " + " | ".join(map(cell, head)) + " |", "|---" * len(head) + "|"]
    for row in content.rows:
        if isinstance(row, Band):
            out.append("| *" + cell(row.text) + "* |" + " |" * (len(head) - 1))
        else:
            texts = (f"**{cell(text_of(row[i]))}**" if getattr(row[i], "strong", False)
                     else cell(text_of(row[i])) for i in kept)
            out.append("| " + " | ".join(texts) + " |")
    return [*out, ""]


def document(title: str, lead: str, parts: Sequence[Sequence[str]]) -> str:
    """The whole."""
    lines = [f"# {escape(title)}", "", escape(lead), ""]
    for part in parts:
        lines += part
    return "\n".join(lines).rstrip("\n") + "\n"
