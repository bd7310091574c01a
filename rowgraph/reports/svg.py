"""Figures of Matplotlib as SVG that lives inside a page: themed, accessible, the same every time.

A figure is drawn with placeholder colours, which become the page's own variables, so that one
drawing serves light, dark and print. Text stays text. Names are never read as formulas.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

SCALE = 1.5  # pixels per unit of a drawing where there is room: 9 units of text are 13 pixels
WIDTH = 3.6  # inches of 72 units: what a phone shows at full size
INK, FAINT, LINE = "#010101", "#020202", "#030303"
MODEL, BASELINE, PUBLISHED, PAPER = "#040404", "#050505", "#060606", "#070707"
VARIABLES = {INK: "ink", FAINT: "faint", LINE: "line", MODEL: "model", BASELINE: "baseline",
             PUBLISHED: "published", PAPER: "paper"}
TONES = {"model": MODEL, "baseline": BASELINE, "published": PUBLISHED}
TAG = re.compile(r"<[^>]+>")
REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]+)')
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "rowgraph", "text.parse_math": False,
    "font.size": 9, "axes.labelsize": 8.5, "axes.titlesize": 9, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "text.color": INK, "axes.labelcolor": FAINT, "xtick.color": FAINT,
    "ytick.color": FAINT, "axes.edgecolor": LINE, "axes.linewidth": 0.6, "grid.color": LINE,
    "grid.linewidth": 0.5, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 2, "ytick.major.size": 2, "axes.spines.top": False,
    "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": "none",
    "savefig.facecolor": "none", "lines.linewidth": 1.3, "axes.unicode_minus": True,
    "path.simplify": True}


@contextmanager
def drawing() -> Iterator[None]:
    """The style of every figure; figures are made and finished inside."""
    import warnings

    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a browser has its own
        yield


def figure(height: float, width: float = WIDTH):
    """An empty figure, inches; to be filled and finished inside `drawing`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=72)


def shown(name: object, letters: int = 40) -> str:
    """A name as a figure can hold it: one line, no control characters, cut where it is long."""
    text = "".join(c if c.isprintable() else " " for c in str(name))
    return text if len(text) <= letters else text[:letters - 1] + "…"


def to_svg(drawn, key: str, alt: str, scale: float = SCALE) -> str:
    """A finished figure as an `<svg>` element.

    Args:
        key: tells its identifiers from those of other figures of the page: letters and digits.
        alt: what it shows, in words.
        scale: pixels per unit where there is room.
    """
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={
        "Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = {name for tag in TAG.findall(text) for name in REFERENCE.findall(tag)}
    text = TAG.sub(lambda m: _tidied(m[0], key, used), text)
    text = re.sub(r"\n\s*", "\n", text).strip()
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width = float(box[1]) * scale
    head = (f'<svg viewBox="{box[0][9:-1]}" role="img" aria-label="{html.escape(shown(alt, 600))}" '
            f'style="max-width:{width:.0f}px">')
    return head + text[text.index(">") + 1:]


def _tidied(tag: str, key: str, used: set[str]) -> str:
    """A tag with identifiers of this figure, the page's font and the page's colours. Only tags:
    what a name says is text, whatever it looks like."""
    tag = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", tag)
    tag = re.sub(r'font: ((?:bold|700) )?([\d.]+)px [^;"]*', lambda m: (
        f"{'font-weight: 600; ' if m[1] else ''}font-size: {m[2]}px"), tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?| transform=\"rotate\(-?0 [^\"]*\"", "", tag)
    return re.sub(r"(fill|stroke): (#0[1-7]0[1-7]0[1-7])\b",
                  lambda m: f"{m[1]}: var(--{VARIABLES.get(m[2], 'ink')})", tag)
