"""The drawings of the pages, a function each, as `<figure>` elements in the page's own colours."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from rowgraph.reports.svg import (
    BASELINE,
    FAINT,
    INK,
    LINE,
    MODEL,
    PAPER,
    drawing,
    figure,
    to_svg,
)

WIDTH = 5.6  # inches of 72 units


def framed(drawn, key: str, alt: str, caption: str) -> str:
    """A finished figure with its caption, without empty lines, as Markdown wants it."""
    lines = [line for line in to_svg(drawn, key, alt).splitlines() if line.strip()]
    return (f'<figure class="drawing">{"".join(lines)}<figcaption>{caption}</figcaption>'
            "</figure>\n")


def plane(height: float, right: float = 100.0) -> tuple:
    """A figure and empty axes over it: `right` units wide, as many a unit upwards."""
    drawn = figure(height, WIDTH)
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, right)
    axes.set_ylim(0, right * height / WIDTH)
    axes.axis("off")
    return drawn, axes


def box(axes: Axes, x: float, y: float, width: float, height: float, title: str, text: str = "",
        colour: str = LINE) -> None:
    """A box with a title and smaller lines below it; x and y are its lower left corner."""
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1.2",
                                  fill=False, edgecolor=colour, linewidth=1.1))
    middle = x + width / 2
    if not text:
        axes.text(middle, y + height / 2, title, ha="center", va="center", weight="bold")
        return
    axes.text(middle, y + height - 2.2, title, ha="center", va="top", weight="bold")
    for i, line in enumerate(text.split("\n")):  # each centred by the browser, whatever its font
        axes.text(middle, y + height - 6.4 - 3.3 * i, line, ha="center", va="top", color=FAINT,
                  fontsize=8)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = FAINT,
          style: str = "-|>") -> None:
    """From one point to another."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=7, color=colour,
                                   linewidth=0.9, shrinkA=0, shrinkB=0))


def overview() -> str:
    """What goes in and what comes out."""
    with drawing():
        drawn, axes = plane(1.75)
        box(axes, 0.5, 16.5, 27, 14, "A database", "keys and times, from\nPostgreSQL or files")
        box(axes, 0.5, 0.7, 27, 13, "A question", "who will not order\nin the next 30 days?")
        box(axes, 36.5, 4, 27, 23, "RowGraph", "reads rows and keys,\nlearns from the past,\n"
            "measures itself beside\ntrees and others", MODEL)
        box(axes, 72.5, 16.5, 27, 14, "A ranked list", "your keys, a chance\neach, and why")
        box(axes, 72.5, 0.7, 27, 13, "A report", "every figure with\nregime and interval")
        for start, end in (((28, 23), (36, 18)), ((28, 7), (36, 12)), ((64, 18), (72, 23)),
                           ((64, 12), (72, 7))):
            arrow(axes, start, end)
        return framed(drawn, "overview", "A database and a question go in; a ranked list and a "
                      "report come out.", "What goes in, and what comes out.")


def row_to_vector() -> str:
    """A row of the bookshop as text, and as a vector."""
    from rowgraph.example import write_example, write_example_vectors
    from rowgraph.rows.linearization import linearize

    folder = tempfile.mkdtemp()
    database = write_example(folder)
    vector = write_example_vectors(database, folder).gather("books", [2])[0].numpy()
    row = database.read("books").row(2)
    with drawing():
        drawn, axes = plane(1.75)
        columns = (("id", 9), ("title", 17), ("price", 11))
        for y, cells, colour in ((28.4, [c for c, _ in columns], FAINT),
                                 (23.9, [str(cell) for cell in row], INK)):
            x = 15.0
            for cell, (_, width) in zip(cells, columns, strict=True):
                axes.text(x + 1, y, cell, color=colour, va="center", fontsize=8.5)
                x += width
        axes.plot([15, 52], [26.2, 26.2], color=LINE, linewidth=0.8)
        axes.text(0, 26, "the row", va="center", color=FAINT)
        axes.text(0, 16.4, "as text", va="center", color=FAINT)
        axes.text(15, 16.4, linearize("books", ["title", "price"], row[1:]), va="center",
                  fontsize=8.5)
        axes.text(0, 5, "as vector", va="center", color=FAINT)
        axes.bar(16.5 + 3.5 * np.arange(len(vector)), 5 * vector / abs(vector).max(), 2.2, 5,
                 color=MODEL, linewidth=0)
        for top, bottom in ((22, 18.4), (14.4, 10.8)):
            arrow(axes, (42, top), (42, bottom))
        axes.text(44, 12.4, "encoder of BART, mean over its tokens", color=FAINT, fontsize=8,
                  va="center")
        return framed(
            drawn, "row", "A row of the table books, the same row as text, and as a vector drawn "
            "as bars.", "A row of the bookshop, its text, and the vector that an untrained BART of "
            "16 dimensions gives it. Key columns are left out of the text: they are the graph's "
            "edges.")


def neighbourhood() -> str:
    """What one seed of the bookshop sees, drawn from the sampler's own answer."""
    from rowgraph.example import write_example
    from rowgraph.graph.entity_graph import build_entity_graph
    from rowgraph.graph.sampling import TemporalNeighborSampler

    database = write_example(tempfile.mkdtemp())
    graph = build_entity_graph(database)
    asked = np.array(["2024-06-01"], "datetime64[us]").astype("int64")
    batch = TemporalNeighborSampler(graph, (3, 2), "latest").sample(
        "customers", np.array([3]), asked, 0)
    drawn_orders = set(batch.n_id["orders"][:batch.num_sampled_nodes["orders"][1]].tolist())
    books = batch.n_id["books"].tolist()
    times = database.times("orders")
    orders = np.flatnonzero(database.keys("orders", "customer_id") == 3)
    book_of = database.keys("orders", "book_id")
    titles = database.column("books", "title").to_list()
    with drawing():
        drawn, axes = plane(2.35)

        def place(time: int) -> float:
            year = np.array(["2024-01-01", "2025-01-01"], "datetime64[us]").astype("int64")
            return 13 + 85 * (time - year[0]) / (year[1] - year[0])

        now = place(int(asked[0]))
        axes.plot([now, now], [3.5, 40], color=BASELINE, linewidth=1, linestyle=(0, (3, 2)))
        axes.text(now + 1, 39.5, "the seed's time: nothing from here on is seen", color=BASELINE,
                  fontsize=8, va="top")
        for label, y in (("customer", 33.5), ("orders", 20.5), ("books", 8)):
            axes.text(0, y, label, color=FAINT, va="center")
        axes.scatter([now], [33.5], s=70, color=BASELINE, zorder=3)
        axes.text(now - 2.2, 33.5, "customer 3", ha="right", va="center")
        named = [(int(book_of[o]), place(int(times[o])) - 6) for o in sorted(drawn_orders)]
        shelf = {book: x for book, x in named if book in books}
        for order in orders:
            x, seen = place(int(times[order])), order in drawn_orders
            later = times[order] >= asked[0]
            axes.scatter([x], [20.5], s=42, zorder=3, linewidths=1,
                         facecolors=MODEL if seen else "none", edgecolors=LINE if later else MODEL)
            if seen:
                arrow(axes, (x, 22), (now - 0.8, 32.3), MODEL)
                arrow(axes, (shelf[book_of[order]], 9.7), (x, 19), MODEL)
        for book, x in shelf.items():
            axes.scatter([x], [8], s=42, color=MODEL, zorder=3)
            axes.text(x, 4.4, titles[book], ha="center", va="center", fontsize=8)
        return framed(
            drawn, "neighbourhood", "A customer, the three newest orders before the seed's time, "
            "and the books that they name; older orders are left out, later ones are not seen.",
            "What customer 3 of the bookshop sees on 1 June with fan-out (3, 2): filled dots are "
            "drawn, hollow blue ones are older and left out, grey ones have not happened yet. The "
            "picture is made from the sampler's own answer.")


def blend() -> str:
    """The parts of RowGraph's own model."""
    with drawing():
        drawn, axes = plane(3.0)
        rows = (("Windows", "counts, ages, means along\nforeign keys"),
                ("Cells", "weights are made from\ncolumn names"),
                ("Neighbours", "the newest few along\neach key, two hops"))
        for i, (title, words) in enumerate(rows):
            box(axes, 0.5, 37.5 - 15.5 * i, 29, 13.6, title, words)
        box(axes, 37, 9.5, 22, 22, "Encoder", "one for any schema:\nno parameter belongs\nto a "
            "table or column", MODEL)
        for i in range(3):
            arrow(axes, (30, (42, 28.8, 13.3)[i]), (36.5, 25.5 - 5 * i))
        parts = ("trees on windows", "linear on windows", "untrained, linear",
                 "own past, linear", "own past, fine-tuned", "own history")
        for i, part in enumerate(parts):
            y = 45.4 - 8.2 * i
            box(axes, 66.5, y, 22, 6, "")
            axes.text(77.5, y + 3, part, ha="center", va="center", fontsize=8)
            arrow(axes, (89, y + 3), (94, 27.5))
            if i < 2:
                arrow(axes, (30, 46.5 - 2 * i), (66, y + 3))
            elif i < 5:
                arrow(axes, (59.5, 29 - 4 * i + 4), (66, y + 3))
        axes.text(97, 27.5, "blend", ha="center", va="center", weight="bold", rotation=90)
        return framed(
            drawn, "blend", "Windows, cells and neighbours feed an encoder; its vectors, trees and "
            "linear models on windows and the entity's own history are blended.",
            "RowGraph's own model: several small parts that go wrong in different places, and "
            "their mean, weighted on folds.")


def _span(axes: Axes, y: float, start: float, end: float, colour: str, words: str = "",
          height: float = 3.6, filled: bool = True) -> None:
    axes.add_patch(FancyBboxPatch((start, y - height / 2), end - start, height, linewidth=0.9,
                                  boxstyle="round,pad=0,rounding_size=.8", edgecolor=colour,
                                  facecolor=colour if filled else "none", alpha=0.9))
    if words:
        axes.text((start + end) / 2, y, words, ha="center", va="center", fontsize=7.5,
                  color=PAPER if filled else FAINT)


def _cuts(axes: Axes, top: float, cuts: Sequence[tuple[float, str]]) -> None:
    for x, words in cuts:
        axes.plot([x, x], [2, top - 3], color=LINE, linewidth=0.9, linestyle=(0, (3, 2)), zorder=0)
        axes.text(x, top, words, ha="center", va="top", fontsize=8, color=FAINT)


def regimes() -> str:
    """What a test row sees under either regime."""
    with drawing():
        drawn, axes = plane(1.7)
        _cuts(axes, 30, ((52, "val_timestamp"), (70, "test_timestamp")))
        for y, name, end in ((20.5, "rolling", 88), (10.5, "frozen_db", 70)):
            axes.text(0, y, name, va="center", weight="bold")
            _span(axes, y, 16, end, MODEL, "what this test row sees")
            axes.scatter([88.6], [y], s=34, color=BASELINE, zorder=3)
        axes.text(88.6, 24.6, "asked here", ha="center", fontsize=8, color=BASELINE)
        axes.text(79.3, 10.5, "unseen", va="center", ha="center", fontsize=8, color=FAINT)
        axes.text(16, 3, "time →", fontsize=8, color=FAINT, va="center")
        return framed(
            drawn, "regimes", "Two bars: under rolling a test row sees everything before its own "
            "time, under frozen_db only what was there at test_timestamp.",
            "One test row, asked after <code>test_timestamp</code>, under either regime.")


def folds() -> str:
    """Forward-chained folds."""
    with drawing():
        drawn, axes = plane(2.0)
        _cuts(axes, 35.5, ((52, "val_timestamp"), (76, "test_timestamp")))
        rows = ((27, "fold 1", 10, 24, 38), (20.5, "fold 2", 10, 38, 52),
                (14, "fold 3", 10, 52, 66))
        for y, name, start, cut, end in rows:
            axes.text(0, y, name, va="center")
            _span(axes, y, start, cut, LINE, "fitted on", filled=False)
            _span(axes, y, cut + 0.4, end, MODEL, "scored")
        axes.text(0, 5.5, "final", va="center", weight="bold")
        _span(axes, 5.5, 10, 76, LINE, "fitted on, as folds chose", filled=False)
        _span(axes, 5.5, 76.4, 90, BASELINE, "test")
        return framed(
            drawn, "folds", "Three folds, each fitted on what was known at a cut and scored on "
            "the span after it; then one final fit, scored on the test span.",
            "Three folds, then the final fit. A scored span is as long as the test span. Test "
            "labels choose nothing.")
