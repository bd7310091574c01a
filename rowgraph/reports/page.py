"""The page: parts of HTML made from text, figures and tables, and the whole that holds them.

Every text is escaped here and nowhere else. The page asks nothing of a network.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from rowgraph.reports.style import STYLE
from rowgraph.reports.tables import Band, Cell, Dots, ReportTable, Row, text_of

NUMERIC = re.compile(  # numbers with what belongs to them, a unit, or nothing
    r"^(?:[−+<\[]?\.?\d[\d.,%±−+ \[\]e/-]*(?:s|min|h|MiB|GiB|of)?[\d ]*(?:s|min)?|–|undefined)$")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
WIDE = 34  # letters from which a cell may break
ROW_LIMIT = 400  # rows of a table that the page shows; the rest are in the Parquet file


def escape(text: object) -> str:
    """Text as HTML, whatever is in it."""
    return html.escape(CONTROL.sub("�", str(text)))


def names(text: object) -> str:
    """Escaped, with places to break after the underscores of a long name."""
    escaped = escape(text)
    return escaped.replace("_", "_<wbr>") if len(str(text)) > 10 else escaped


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a kind that the style knows."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(level: int, text: str, anchor: str = "") -> str:
    """A heading, which the table of contents can point to."""
    mark = f' id="{escape(anchor)}"' if anchor else ""
    return f"<h{level}{mark}>{escape(text)}</h{level}>"


def folded(summary: str, *parts: str) -> str:
    """Parts that are there for who asks for them."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def figure(panels: Sequence[str], caption: str, key: Iterable[tuple[str, str]] = (),
           kind: str = "") -> str:
    """Panels side by side with one caption; nothing where there are none.

    Args:
        panels: SVG elements.
        key: names and CSS colours.
        kind: `maps` for larger panels.
    """
    if not panels:
        return ""
    swatches = "".join(f'<li style="--c:{colour}">{escape(name)}</li>' for name, colour in key)
    listed = f'<ul class="key">{swatches}</ul>' if swatches else ""
    mark = f' class="{kind}"' if kind else ""
    return (f'<figure{mark}><div class="panels">{"".join(f"<div>{p}</div>" for p in panels)}</div>'
            f"{listed}<figcaption>{escape(caption)}</figcaption></figure>")


def table(content: ReportTable, *, title: int | None = 3, anchor: str = "") -> str:
    """A table in a box of its own to scroll in; nothing where it has no rows.

    Args:
        title: level of its heading, None for none.
    """
    if content.is_empty:
        return ""
    rows = content.rows[:ROW_LIMIT]
    right = {i for i in range(1, len(content.head)) if _is_numeric(rows, i)}
    parts = [] if title is None else [heading(title, content.title, anchor)]
    if content.legend:
        parts.append(paragraph(content.legend, "legend"))
    head = "".join(f'<th scope="col"{_right(i in right)}>'
                   f"{_tipped(escape(name), content.tips.get(name, ''))}</th>"
                   for i, name in enumerate(content.head))
    body = "".join(_row(row, len(content.head), right) for row in rows)
    label = escape(content.title)
    parts.append(f'<div class="box" role="region" tabindex="0" aria-label="{label}">'
                 f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>")
    if len(content.rows) > len(rows):
        parts.append(paragraph(f"{len(content.rows) - len(rows):,} more rows are in the Parquet "
                               "files beside this page.", "note"))
    return "".join(parts)


def _is_numeric(rows: Sequence[Row], column: int) -> bool:
    texts = [text_of(row[column]) for row in rows if not isinstance(row, Band)]
    filled = [t for t in texts if t]
    return bool(filled) and sum(map(bool, map(NUMERIC.match, filled))) >= 0.7 * len(filled)


def _row(row: Row, width: int, right: set[int]) -> str:
    if isinstance(row, Band):
        return (f'<tr class="band"><th colspan="{width}" scope="colgroup"><span>'
                f"{escape(row.text)}</span></th></tr>")
    cells = [f'<th scope="row">{_cell(row[0])}</th>']
    for i, cell in enumerate(row[1:], start=1):
        wide = ' class="wide"' if len(text_of(cell)) > WIDE and i not in right else ""
        cells.append(f"<td{_right(i in right) or wide}>{_cell(cell)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return names(cell)
    if cell.dots is not None:
        return _dots(cell.dots)
    inner = names(cell.text)
    return _tipped(f"<strong>{inner}</strong>" if cell.strong else inner, cell.tip)


def _tipped(inner: str, tip: str) -> str:
    return f'<abbr title="{escape(tip)}">{inner}</abbr>' if tip and inner else inner


def _right(numeric: bool) -> str:
    return ' class="n"' if numeric else ""


def _dots(dots: Dots) -> str:
    low, high = dots.domain
    width = 110

    def x(value: float) -> str:
        return f"{(value - low) / (high - low) * width:.1f}"

    line = "" if dots.low is None or dots.high is None else (
        f'<path d="M{x(dots.low)} 7H{x(dots.high)}" stroke="var(--{dots.tone})" '
        'stroke-width="2"/>')
    mark = {"model": f'<circle cx="{x(dots.value)}" cy="7" r="3.4" fill="var(--model)"/>',
            "baseline": f'<rect x="{float(x(dots.value)) - 3:.1f}" y="4" width="6" height="6" '
                        'fill="var(--paper)" stroke="var(--baseline)" stroke-width="1.5"/>',
            "published": f'<path d="M{x(dots.value)} 2.6l4.2 4.4-4.2 4.4-4.2-4.4z" '
                         'fill="var(--paper)" stroke="var(--published)" stroke-width="1.5"/>'}
    return (f'<svg class="dots" viewBox="0 0 {width} 14" aria-hidden="true">'
            f'<path d="M0 7H{width}" stroke="var(--line)"/>{line}{mark[dots.tone]}</svg>')


def page(title: str, lead: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """The whole.

    Args:
        sections: anchor, name and content of each; those without content are left out.
    """
    shown = [s for s in sections if s[2]]
    entries = "".join(f'<li><a href="#{anchor}">{escape(name)}</a></li>'
                      for anchor, name, _ in shown)
    body = "".join(heading(2, name, anchor) + content for anchor, name, content in shown)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        f'<div class="page"><nav aria-label="Contents"><ol>{entries}</ol></nav><main>'
        f"<h1>{escape(title)}</h1>{paragraph(lead, 'lead')}{body}</main></div></body></html>\n")
